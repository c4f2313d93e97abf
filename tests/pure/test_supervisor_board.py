# SPDX-License-Identifier: MIT
"""What the board tells of a unit's end: a crash, or somebody's wish. And whom a late kill may hit."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import msgspec
import pytest

from strata.errors import ResourceExhausted, Unavailable
from strata.supervisor.board import Board
from strata.supervisor.events import OURSELVES, Events
from strata.supervisor.operations import Operations
from strata.supervisor.probes import Probes
from strata.supervisor.service import Marks, Service
from strata.supervisor.wishes import Wishes
from strata.systemd import journal
from strata.systemd.state import UnitStatus
from strata.types import ServiceState as S
from strata.units.model import Health, Manifest

UNIT = "strata-svc-x.service"
RUN = "a" * 32
NEXT = "b" * 32


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    """With one service, x, that runs and has been looked at."""
    monkeypatch.setattr(journal, "send", lambda *_args, **_fields: None)
    found = Board(Events(), Wishes(tmp_path / "stopped"))
    manifest = Manifest(name="x", command=("/bin/sleep", "60"))
    found.add(Service(manifest, (), (), Marks("", "", ""), UnitStatus(UNIT), None))
    found.unit_changed(seen("active"))
    return found


def seen(active: str, run: str = RUN, *, job: str = "", result: str = "success", restarts: int = 0) -> UnitStatus:
    return UnitStatus(UNIT, "loaded", active, job=job, invocation_id=run, result=result, restarts=restarts)


def told(board: Board) -> list[tuple[str, str]]:
    """Events and messages since x is Healthy."""
    return [(event.event, event.message) for event in board.events.since(1)]


def test_a_stop_from_outside_is_told_once_and_is_no_crash(board: Board) -> None:
    for status in (seen("deactivating", job="stop"), seen("inactive")):
        board.unit_changed(status)
    assert told(board) == [("svc.stop", "stopped outside Strata"), ("svc.stopped", "Healthy -> Stopped")]
    assert board.wishes.stopped("x")


def test_a_stop_from_outside_that_ends_badly_is_no_crash(board: Board) -> None:
    """It does not heed SIGTERM, or exits with a status."""
    board.unit_changed(seen("deactivating", job="stop"))
    board.unit_changed(seen("deactivating", job="stop", result="timeout"))
    board.unit_changed(seen("failed", result="timeout"))
    assert "svc.crash" not in dict(told(board))
    assert board.get("x").state is S.STOPPED


def test_a_stop_that_was_over_before_its_job_could_be_seen_is_no_crash(board: Board) -> None:
    for status in (seen("deactivating"), seen("inactive")):
        board.unit_changed(status)
    assert not {"svc.crash", "svc.crashed"} & dict(told(board)).keys()
    assert board.get("x").state is S.STOPPED


def test_a_stop_from_outside_that_cannot_be_recorded_is_one(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is that of what runs, whatever becomes of the record."""
    monkeypatch.setattr(board.wishes, "stop", Mock(side_effect=ResourceExhausted("cannot record")))
    board.unit_changed(seen("inactive"))
    assert told(board) == [("svc.stop", "stopped outside Strata"), ("svc.stopped", "Healthy -> Stopped")]


def test_a_stop_that_was_seen_only_by_its_bad_end_is_no_crash(board: Board) -> None:
    """Systemd would have started it again: somebody has told it not to."""
    board.unit_changed(msgspec.structs.replace(seen("failed", result="exit-code", restarts=2), straight=True))
    assert told(board) == [("svc.stop", "stopped outside Strata"), ("svc.stopped", "Healthy -> Stopped")]


def test_who_failed_on_the_way_to_a_restart_was_not_stopped(board: Board) -> None:
    board.unit_changed(seen("failed", result="exit-code", restarts=2))
    assert board.get("x").state is S.QUARANTINED


@pytest.mark.parametrize("directive", [{"Restart": "no"}, {"RestartPreventExitStatus": "3"}])
def test_who_is_not_to_be_restarted_has_crashed(board: Board, directive: dict[str, str]) -> None:
    service = board.get("x")
    service.manifest = msgspec.structs.replace(service.manifest, unit={"Service": directive})
    board.unit_changed(msgspec.structs.replace(seen("failed", result="exit-code"), straight=True))
    assert service.state is S.CRASHED
    assert "svc.crash" in dict(told(board))


def test_who_waits_hears_at_once_that_nobody_is_about_to_start_it(board: Board) -> None:
    board.unit_changed(seen("failed", result="exit-code"))
    with pytest.raises(Unavailable, match="nothing is about to start it"):
        asyncio.run(board.wait(board.get("x"), {S.HEALTHY}, 3600))


@pytest.mark.parametrize("between", [("deactivating", "restart"), ("inactive", "start"), None])
def test_a_restart_from_outside_is_neither_a_crash_nor_a_stop(board: Board, between: tuple[str, str] | None) -> None:
    """However much of it is seen."""
    if between:
        board.unit_changed(seen(between[0], job=between[1]))
    board.unit_changed(seen("active", NEXT))
    assert not {"svc.crash", "svc.stop"} & dict(told(board)).keys()
    assert board.get("x").state is S.HEALTHY


def test_what_systemd_restarted_behind_our_back_is_a_crash(board: Board) -> None:
    board.unit_changed(seen("active", NEXT, restarts=1))
    assert ("svc.crash", "it ended and was restarted; `strata-ctl logs x` shows how") in told(board)


def test_a_restart_from_outside_hides_no_crash_that_comes_after_it(board: Board) -> None:
    board.unit_changed(seen("deactivating", job="restart"))
    board.unit_changed(seen("active", NEXT))
    board.unit_changed(seen("deactivating", NEXT, result="signal"))
    assert ("svc.crash", "it was killed") in told(board)


def test_what_is_killed_after_the_drain_is_what_was_asked_to_end(board: Board) -> None:
    """By its InvocationID: the run that replaces it may have begun, its report being late."""

    async def main() -> None:
        manager = AsyncMock()
        manager.kill_run.side_effect = lambda *_what: board.unit_changed(seen("active", NEXT))
        service = board.get("x")
        service.marks = Marks("", service.status.log_field("STRATA_UNIT"), "")
        await Operations(board, manager).restart(service, OURSELVES, drain=0.01)
        manager.kill_run.assert_awaited_once_with(UNIT, RUN, signal.SIGKILL)

    asyncio.run(main())


def test_a_stop_that_systemd_could_not_be_asked_for_is_no_wish(board: Board) -> None:
    """It would be told as Stopped and go on running. Should it be stopped all the same, that is seen."""

    async def go() -> None:
        manager = AsyncMock()
        manager.look.side_effect = Unavailable("the connection to it was lost")
        with pytest.raises(Unavailable):
            await Operations(board, manager).stop(board.get("x"), OURSELVES)

    asyncio.run(go())
    assert board.get("x").state is S.HEALTHY
    assert not board.wishes.stopped("x")
    board.unit_changed(seen("inactive"))
    assert board.get("x").state is S.STOPPED
    assert board.wishes.stopped("x")


def test_a_kill_that_systemd_could_not_be_asked_for_is_tried_again(board: Board) -> None:
    """Who does not answer is not left alone for good because systemd did not, once."""
    service = board.get("x")
    health = Health(kind="tcp", interval_sec=0.01, timeout_sec=1.0, target="/nowhere", failures=1)
    service.manifest = msgspec.structs.replace(service.manifest, health=health, start_timeout_sec=0.0)
    operations = AsyncMock()
    operations.kill.side_effect = [Unavailable("systemd did not answer"), None]

    async def probed() -> None:
        probes = Probes(board, operations)
        board.refresh(service)
        async with asyncio.timeout(10):
            while operations.kill.await_count < 2:
                await asyncio.sleep(0.01)
        await probes.close()

    asyncio.run(probed())
    operations.kill.assert_awaited_with(service, RUN)

# SPDX-License-Identifier: MIT
"""The room's own order: what may happen at once with one session, one owner, all; what is kept when a step fails.

systemd and the kernel are played here, so that each can be late or refuse at the very moment that matters; the live
ring has the real ones.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest

from strata.config import SandboxSettings
from strata.errors import Conflict, NotFound, ResourceExhausted, Unavailable
from strata.policy.ratelimit import Buckets
from strata.sandbox import leftovers, room
from strata.sandbox.closing import Remains
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.entrance import Entrance
from strata.sandbox.ids import Key
from strata.sandbox.opening import Begin, Tools
from strata.sandbox.params_session import Addressed, CreateParams
from strata.sandbox.ranges import FIRST, SIZE
from strata.sandbox.record import Record
from strata.sandbox.room import Room
from strata.sandbox.session import Session, State
from strata.sockets.method import Call
from strata.systemd.state import Job
from strata.types import Peer

CALL = Call(Peer(1, 0, 0), "r", "sandbox.create")
SLICE = "strata-sandbox-a.slice"


class PlayedManager:
    """Units by name. `refusals` are raised by the next stops of scopes; what is `held` waits for `go`."""

    def __init__(self) -> None:
        self.units: set[str] = set()
        self.said: list[str] = []
        self.refusals: list[str] = []
        self.held = ""
        self.go = asyncio.Event()

    async def run_transient(self, units: Any) -> Job:
        ((name, _),) = units
        await self._say(f"start {name}")
        if name in self.units:
            raise Conflict(f"{name} is there")
        self.units.add(name)
        return Job("/job", name, "done")

    async def stop(self, name: str) -> Job:
        if self.refusals and name.endswith(".scope"):
            raise Unavailable(self.refusals.pop())
        if name not in self.units:
            raise NotFound(name)
        await self._say(f"stop {name}")
        self.units.discard(name)
        return Job("/job", name, "done")

    async def _say(self, word: str) -> None:
        self.said.append(word)
        if word == self.held:
            await self.go.wait()


class PlayedGroup:
    """A scope's cgroup."""

    def __init__(self, populated: bool = True) -> None:
        self.populated = populated

    def kill(self) -> None:
        self.populated = False


class Stage:
    """A room, and what is played around it. `opened` lets openings go on; `fails` makes them fail."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.manager = PlayedManager()
        self.opened = asyncio.Event()
        self.opened.set()
        self.fails = ""
        self.populated = True
        tools = Tools(Mock(), self.manager, Mock(), 252, Mock())  # type: ignore[arg-type]
        self.room = Room(tools, SandboxSettings(**settings), top, Buckets(), DescriptorStore())
        self.room.mapped = True
        self.room.emptiness.close()
        self.room.emptiness = Mock(wait=self._wait)
        monkeypatch.setattr(room, "Opening", self._opening)

    async def _wait(self, group: PlayedGroup, _seconds: float) -> bool:
        return not group.populated

    def _opening(self, tools: Tools, wanted: Record, directory: Path, owner: asyncio.Task[None]) -> Any:
        group = PlayedGroup()

        async def run(_: Begin) -> Session:
            await owner
            await self.manager.run_transient([(wanted.key.scope, [])])
            await self.opened.wait()
            if self.fails:
                raise Unavailable(self.fails)
            group.populated = self.populated
            entrance = Entrance(os.dup(0), os.dup(0))
            return Session(wanted, directory, Mock(scope=group), entrance, tools.launcher)

        return Mock(run=run, scope=group)

    async def create(self, session: str, owner: str = "a") -> Session:
        return (await self.room.create(CALL, CreateParams(owner=owner, session=session)))[0]

    async def close(self, session: str) -> None:
        await self.room.end(CALL, Addressed(owner="a", session=session))


@pytest.fixture
def on_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a body with a stage; in the end everything is closed and nothing is left."""

    def run(body: Callable[[Stage], Awaitable[None]], **settings: Any) -> None:
        async def main() -> None:
            stage = Stage(tmp_path, monkeypatch, **settings)
            async with asyncio.timeout(10):
                await body(stage)
                await stage.room.close_all("the test is over")
            assert stage.manager.units == set()
            assert list((tmp_path / "sessions").glob("*")) == []

        asyncio.run(main())

    monkeypatch.setattr(leftovers, "FIRST_SECONDS", 0.01)
    return run


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_moves_between_cgroups_are_made_ready_for_who_asks_for_a_new_session(on_stage: Callable[..., None]) -> None:
    """He may have connected long ago, and asked for nothing since; before anything else is done for him."""

    async def body(stage: Stage) -> None:
        primer = cast(Mock, stage.room.tools.primer)
        stage.manager.held = f"start {Key('a', 's').scope}"
        opening = asyncio.create_task(stage.create("s"))
        await turns(1)
        assert (primer.prime.call_count, stage.manager.said) == (1, [])
        stage.manager.go.set()
        await opening

    on_stage(body)


def test_a_close_that_fails_is_tried_again_until_nothing_is_left(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        session = await stage.create("s")
        stage.manager.refusals = ["busy", "busy", "busy"]
        with pytest.raises(Unavailable, match="busy"):
            await stage.close("s")
        while session.directory.exists():
            await asyncio.sleep(0.005)
        assert stage.manager.refusals == []

    on_stage(body)


def test_until_a_session_is_gone_its_name_and_users_and_place_are_not_given_away(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        first = await stage.create("s")
        stage.manager.refusals = ["busy"] * 2
        with pytest.raises(Unavailable):
            await stage.close("s")
        with pytest.raises(Unavailable, match="busy"):
            await stage.create("s")
        second = await stage.create("t")
        assert second.record.uid_base == FIRST + SIZE != first.record.uid_base
        with pytest.raises(ResourceExhausted):
            await stage.create("u")

    on_stage(body, max_sessions=2)


def test_who_creates_what_is_not_gone_yet_has_it_removed_first(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        first = await stage.create("s")
        stage.manager.refusals = ["busy"]
        with pytest.raises(Unavailable):
            await stage.close("s")
        assert await stage.create("s") is not first

    on_stage(body)


def test_the_second_who_closes_is_told_of_a_failure_too(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        session = await stage.create("s")
        stage.manager.refusals = ["busy"] * 2
        both = (stage.room.close(session, "") for _ in range(2))
        assert [type(one) for one in await asyncio.gather(*both, return_exceptions=True)] == [Unavailable] * 2

    on_stage(body)


def test_a_session_of_an_owner_whose_slice_is_being_stopped_gets_a_new_one(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        session = await stage.create("s")
        stage.manager.held = f"stop {SLICE}"
        closing = asyncio.create_task(stage.room.close(session, ""))
        while stage.manager.held not in stage.manager.said:
            await asyncio.sleep(0.005)
        other = asyncio.create_task(stage.create("t"))
        await turns()
        assert stage.manager.said[-1] == f"stop {SLICE}"
        stage.manager.go.set()
        await asyncio.gather(closing, other)
        words = [word for word in stage.manager.said if SLICE in word]
        assert words == [f"start {SLICE}", f"stop {SLICE}", f"start {SLICE}"]

    on_stage(body)


def test_a_slice_that_was_left_over_is_made_anew(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        stage.manager.units.add(SLICE)
        await stage.create("s")
        assert stage.manager.said[:3] == [f"start {SLICE}", f"stop {SLICE}", f"start {SLICE}"]

    on_stage(body)


def test_a_failed_attempt_leaves_nothing_and_gives_its_users_back_once(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        stage.fails = "no"
        with pytest.raises(Unavailable, match="no"):
            await stage.create("s")
        assert stage.manager.units == set()
        stage.fails = ""
        taken = [(await stage.create(name)).record.uid_base for name in ("s", "t")]
        assert {*taken} == {FIRST, FIRST + SIZE}

    on_stage(body)


def test_a_session_is_opened_though_its_caller_hung_up_and_closed_by_who_asks_meanwhile(
    on_stage: Callable[..., None],
) -> None:
    async def body(stage: Stage) -> None:
        stage.opened.clear()
        caller = asyncio.create_task(stage.create("s"))
        await turns()
        caller.cancel()
        closing = asyncio.create_task(stage.close("s"))
        await turns()
        assert not closing.done()
        stage.opened.set()
        await closing
        with pytest.raises(NotFound):
            await stage.close("s")

    on_stage(body)


def test_two_who_create_at_once_get_one_session(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        both = await asyncio.gather(*(stage.room.create(CALL, CreateParams(owner="a", session="s")) for _ in range(2)))
        assert both[0][0] is both[1][0]
        assert {created for _, created in both} == {True, False}

    on_stage(body)


def test_what_is_being_opened_when_all_are_closed_is_closed_too_and_nothing_opens_after(
    on_stage: Callable[..., None],
) -> None:
    async def body(stage: Stage) -> None:
        stage.opened.clear()
        caller = asyncio.create_task(stage.create("s"))
        await turns()
        ending = asyncio.create_task(stage.room.close_all("stop"))
        await turns()
        with pytest.raises(Unavailable, match="Strata stops"):
            await stage.create("t")
        stage.opened.set()
        await asyncio.gather(caller, ending)
        assert stage.room.sessions == {}

    on_stage(body)


def test_a_session_that_is_about_to_be_closed_when_the_room_leaves_is_closed_once(
    on_stage: Callable[..., None],
) -> None:
    async def body(stage: Stage) -> None:
        session = await stage.create("s")
        stage.room.expire(session, "idle")
        await stage.room.leave()
        assert session.state is State.CLOSING
        assert stage.room.sessions == {}

    on_stage(body)


def test_a_session_whose_scope_has_ended_before_it_was_known_goes(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        stage.populated = False
        session = await stage.create("s")
        while stage.room.sessions:
            await asyncio.sleep(0.005)
        assert not session.directory.exists()

    on_stage(body)


def test_a_part_that_cannot_be_let_go_of_does_not_keep_the_session(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        session = await stage.create("s")

        async def fail() -> None:
            raise RuntimeError("a defect")

        session.parts["shell"] = Mock(close=fail)
        await stage.close("s")
        assert not session.directory.exists()

    on_stage(body)


def test_what_a_former_room_left_is_counted_until_it_is_gone(on_stage: Callable[..., None]) -> None:
    async def body(stage: Stage) -> None:
        stage.manager.refusals = ["busy"]
        key = Key("a", "old")
        await stage.room.discard(Remains(key, stage.room.directory(key)))
        with pytest.raises(ResourceExhausted):
            await stage.create("s")
        while key in stage.room.leftovers:
            await asyncio.sleep(0.005)
        await stage.create("s")

    on_stage(body, max_sessions=1)


def test_retries_grow_rare_and_are_bounded() -> None:
    delays = leftovers._delays()
    found = [next(delays) for _ in range(100)]
    assert found[:4] == [1.0, 2.0, 4.0, 8.0]
    assert max(found) == found[-1] == leftovers.LONGEST_SECONDS

# SPDX-License-Identifier: MIT
"""How growth is judged, and that with hundreds of services one change is no work on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from benchmarks import growth
from benchmarks.growth import Curve, Curves, Point
from benchmarks.process_managers.contract import Missing, program
from strata.supervisor.converge import Converge
from strata.supervisor.leases import Leases
from strata.supervisor.main import Headcount
from strata.systemd import bus
from strata.types import ServiceState as S


def curve(*values: float, grain: float = 0.01) -> Curve:
    points = tuple(Point(at, value) for at, value in zip((1, 10, 100, 500), values, strict=False))
    return Curve("sessions", "a thing", "ms", grain, points)


def against_the_line(found: Curve) -> float:
    grown = growth.growth(found)
    assert grown
    return grown.against_the_line


@pytest.mark.parametrize("of", [lambda n: 5.0, lambda n: 3.0 + 0.1 * n, lambda n: n**0.5, lambda n: 100 / n])
def test_what_grows_linearly_or_less_is_on_the_line_or_below(of: Callable[[int], float]) -> None:
    assert against_the_line(curve(*map(of, (1, 10, 100, 500)))) <= 1.0001


@pytest.mark.parametrize("of", [lambda n: 1.0 + 0.001 * n * n, lambda n: max(5.0, n / 20)])
def test_what_bends_upwards_is_above_the_line(of: Callable[[int], float]) -> None:
    assert against_the_line(curve(*map(of, (1, 10, 100, 500)))) > growth.AT_MOST


def test_the_first_of_all_has_no_say_for_it_pays_for_what_all_share() -> None:
    assert against_the_line(curve(1000.0, 10.0, 10.0, 10.0)) == 1.0


def test_a_curve_that_falls_may_not_rise_again() -> None:
    assert against_the_line(curve(9.0, 8.0, 4.0, 6.0)) == 1.5


def test_what_is_less_than_the_grain_is_noise() -> None:
    assert against_the_line(curve(0.0, 0.0, 0.001, 0.009, grain=0.01)) == 1.0


def test_slopes_are_per_one_more() -> None:
    grown = growth.growth(curve(0.0, 10.0, 100.0, 900.0))
    assert grown
    assert (grown.early, grown.late) == (1.0, 2.0)


def test_a_curve_with_too_few_points_is_not_judged() -> None:
    assert [figure.verdict for figure in growth.figures([curve(1.0, 2.0)])] == ["NOT MEASURED"]


def test_a_curve_that_bends_upwards_is_missed_and_the_figure_has_all_its_points() -> None:
    bent, straight = growth.figures([curve(1, 1, 1, 9), curve(1, 1, 1, 1)])
    assert (bent.verdict, straight.verdict) == ("MISSED", "pass")
    assert bent.note == "1: 1.00, 10: 1.00, 100: 1.00, 500: 9.00 ms"


def test_the_table_has_a_column_for_each_number_and_says_what_is_missing() -> None:
    short = Curve("sessions", "short", "MiB", 1.0, (Point(10, 2.0),))
    head, _, whole, partial = growth.table([curve(1, 2, 3, 4), short]).splitlines()
    assert head == "| what | 1 | 10 | 100 | 500 | each, 10 to 100 | each, 100 to 500 | against the line |"
    assert whole == "| a thing, ms | 1.00 | 2.00 | 3.00 | 4.00 | 0.011 | 0.0025 | 0.54 × |"
    assert partial == "| short, MiB |  | 2.00 |  |  |  |  |  |"


def test_curves_are_read_as_they_were_written() -> None:
    gathered = Curves("services")
    gathered.add("start", "ms", 1.0, Point(1, 2.0, (1.0, 3.0)))
    gathered.add("start", "ms", 1.0, Point(10, 4.0))
    assert growth.read(growth.document(gathered.all())) == gathered.all()


def test_a_generated_part_is_written_between_its_markers_and_nowhere_else() -> None:
    page = "before\n<!-- generated: a -->\nold\n<!-- end: a -->\nafter\n"
    assert growth.between(page, "a", "new") == "before\n<!-- generated: a -->\nnew\n<!-- end: a -->\nafter\n"
    with pytest.raises(ValueError, match="cannot write b"):
        growth.between(page, "b", "new")


def test_a_peer_that_is_not_here_is_missing_with_the_way_to_get_it() -> None:
    with pytest.raises(Missing, match="no-such-manager is not here; scripts/bench-peers fetches it"):
        program("no-such-manager", Path("/nonexistent"))


# --- what was found by it


def signal(member: bytes, path: bytes) -> Mock:
    message = Mock()
    message.get_type.return_value = 4
    message.get_member.return_value, message.get_path.return_value = member, path
    return message


def test_a_change_of_a_unit_is_heard_without_reading_what_has_changed() -> None:
    message = signal(b"PropertiesChanged", b"/org/freedesktop/systemd1/unit/a_2eservice")
    assert bus._signal(message) == "a.service"
    message.process_reply.assert_not_called()


def test_what_is_no_signal_of_a_unit_is_passed_over() -> None:
    answer = Mock()
    answer.get_type.return_value = 2
    assert bus._signal(answer) is None
    assert bus._signal(signal(b"PropertiesChanged", b"/org/freedesktop/systemd1/job/7")) is None
    assert bus._signal(signal(b"UnitNew", b"/org/freedesktop/systemd1")) is None


def test_the_end_of_a_job_and_of_a_unit_are_read() -> None:
    ended = signal(b"JobRemoved", b"/org/freedesktop/systemd1")
    ended.body = [7, b"/job/7", b"a.service", b"done"]
    gone = signal(b"UnitRemoved", b"/org/freedesktop/systemd1")
    gone.body = [b"a.service", b"/unit/a"]
    assert bus._signal(ended) == bus.Job("/job/7", "a.service", "done")
    assert bus._signal(gone) == "a.service"


def test_systemd_is_told_once_how_many_are_healthy_when_many_have_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("strata.systemd.notify.mention", told.append)
    services = {str(number): Mock(state=S.HEALTHY) for number in range(300)}

    async def main() -> None:
        headcount = Headcount(Mock(services=services))
        for service in services.values():
            headcount.service_changed(service, S.STARTING)
            headcount.service_changed(service, S.HEALTHY)
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(0.01)
        assert headcount._soon is None

    asyncio.run(main())
    assert told == ["STATUS=300 of 300 services are Healthy"]


def test_who_has_had_its_start_is_not_looked_at_again_when_another_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    services = {name: service(name, after) for name, after in (("a", ()), ("b", ("a",)), ("c", ("b", "gone")))}
    converge = Converge(Mock(services=services, listeners=[]), Mock())
    converge._open = True
    started: list[str] = []
    monkeypatch.setattr(converge, "_start", lambda one: started.append(one.name))
    monkeypatch.setattr(converge, "_spawn", lambda _: None)
    converge.go()
    assert started == ["a"]
    services["a"].state = S.HEALTHY
    converge.go()
    services["b"].state = S.HEALTHY
    converge.go()
    assert started == ["a", "b", "c"]
    looked = Mock(side_effect=AssertionError)
    monkeypatch.setattr(converge, "_seen", looked)
    converge.go()


def service(name: str, after: tuple[str, ...]) -> Mock:
    found = Mock(state=S.DECLARED, digest="", stop_wished=False)
    found.name, found.manifest.after = name, after
    return found


def test_a_service_that_stops_while_the_registry_is_told_of_it_is_unregistered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens, registry = Mock(state=S.HEALTHY, on_demand=False, unit="a.service", address="/run/a.sock"), Mock()
    listens.name, registry.name, registry.state = "a", "registry", S.HEALTHY
    listens.status.invocation_id = registry.status.invocation_id = "1"
    calls: list[str] = []

    async def main() -> None:
        leases = Leases(Mock(services={"a": listens, "registry": registry}, listeners=[]), tmp_path / "registry.sock")
        leases._registry_run = leases._complete_run = "1"

        async def call(method: str, _params: object) -> None:
            calls.append(method)
            if method == "registry.register":
                listens.state = S.STOPPED
                leases._service_changed(listens, S.HEALTHY)

        monkeypatch.setattr("strata.supervisor.leases.AsyncClient.connect", AsyncMock(return_value=Mock(call=call)))
        leases._service_changed(listens, S.STARTING)
        async with asyncio.timeout(10):
            while "registry.unregister" not in calls:
                await asyncio.sleep(0.01)
        await leases.close()

    asyncio.run(main())
    assert calls == ["registry.register", "registry.unregister"]


def test_a_change_that_the_registry_need_not_know_of_does_not_have_all_gone_through(tmp_path: Path) -> None:
    async def main() -> None:
        listens = Mock(state=S.HEALTHY, on_demand=False, unit="a.service", address="/run/a.sock")
        listens.name = "a"
        board = Mock(services={"a": listens}, listeners=[])
        leases = Leases(board, tmp_path / "registry.sock")
        leases._done["a"] = leases._wanted()["a"]
        leases._service_changed(listens, S.HEALTHY)
        assert not leases._poke.is_set()
        listens.state = S.STOPPED
        leases._service_changed(listens, S.HEALTHY)
        assert leases._poke.is_set()
        leases._poke.clear()
        listens.state, board.services = S.HEALTHY, {"b": listens}
        listens.name = "b"
        leases._service_changed(listens, S.HEALTHY)
        assert leases._poke.is_set()
        await leases.close()

    asyncio.run(main())

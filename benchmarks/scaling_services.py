# SPDX-License-Identifier: MIT
"""Few and many services of one supervisor: what one more costs, and what the others make everything cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from benchmarks import weighing
from benchmarks.fleet import Fleet, fleet
from benchmarks.growth import Curve, Curves, Point
from benchmarks.harness import quartiles, timed
from benchmarks.place import Place
from benchmarks.process_managers.strata import PREFIX, Strata

ROUNDS, LOOKS, PROBE = 12, 3, "probe"
_ROUND_SECONDS = 0.6  # a description that is younger is not looked up anew (supervisor's FRESH_SECONDS)


def curves(place: Place, numbers: Sequence[int]) -> list[Curve]:
    """All of them, with that many services beside the one that is tried."""
    found = Curves("services")
    with fleet(place.scratch) as ours:
        strata = Strata(place, ours, place.scratch)
        try:
            names: list[str] = []
            for at in numbers:
                print(f"measuring with {at} services …", file=sys.stderr)
                more = [PROBE, *(f"n{number}" for number in range(1, at))][len(names) :]
                names += more
                _fill(place, strata, ours, found, names, more)
                weighing.idle(place, found, at)
                _probe(strata, ours, found, at)
        finally:
            strata.close()
    return found.all()


def _fill(place: Place, strata: Strata, ours: Fleet, found: Curves, names: Sequence[str], more: Sequence[str]) -> None:
    """Until all have said that they run, and Strata says the same."""
    at = len(names)
    core = len(strata.list()) - (at - len(more))
    before, start = weighing.weights(place), time.perf_counter()
    ours.forget()
    strata.declare(names)
    ours.wait(*more)
    running = time.perf_counter() - start
    _until(lambda: sum(row["state"] == "Healthy" for row in strata.list()) >= at + core)
    healthy = time.perf_counter() - start
    found.add("declared to running, of each", "ms", 1.0, Point(at, 1e3 * running / len(more)))
    found.add("declared to Healthy, of each", "ms", 1.0, Point(at, 1e3 * healthy / len(more)))
    for role, spent in weighing.work(place, (*weighing.SUPERVISING, "room's gateway"), before).items():
        found.add(f"processor time of one more: {role}", "ms", 0.5, Point(at, spent / len(more)))
    again = [timed(lambda: strata.declare(names)) for _ in range(LOOKS)]
    found.add("reload that changes nothing", "ms", 5.0, Point(at, 1e3 * sorted(again)[LOOKS // 2]))


def _probe(strata: Strata, ours: Fleet, found: Curves, at: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in ("stop", "start", "crash to running", "list", "describe")}
    for _ in range(ROUNDS):
        began = time.monotonic()
        ours.forget()
        taken["stop"].append(timed(lambda: strata.stop(PROBE)))
        taken["start"].append(timed(lambda: _started(strata, ours)))
        taken["list"] += [timed(strata.list) for _ in range(LOOKS)]
        taken["describe"].append(timed(lambda: strata.describe(PROBE)))
        pid = ours.pids()[PROBE]
        ours.forget()
        taken["crash to running"].append(_crashed(ours, pid))
        _until(lambda: _is_healthy(strata))
        time.sleep(max(0.0, began + _ROUND_SECONDS - time.monotonic()))
    for name, seconds in taken.items():
        milliseconds = sorted(1e3 * each for each in seconds)
        middle = milliseconds[len(milliseconds) // 2]
        found.add(name, "ms", 1.0, Point(at, middle, quartiles(milliseconds)))


def _started(strata: Strata, ours: Fleet) -> None:
    strata.start(PROBE)
    ours.wait(PROBE)


def _crashed(ours: Fleet, pid: int) -> float:
    """Seconds until another process runs in its place."""
    start = time.perf_counter()
    ours.kill(pid)
    ours.wait(PROBE)
    return time.perf_counter() - start


def _is_healthy(strata: Strata) -> bool:
    return any(row["name"] == PREFIX + PROBE and row["state"] == "Healthy" for row in strata.list())


def _until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("cannot measure: the services did not become Healthy")
        time.sleep(0.02)

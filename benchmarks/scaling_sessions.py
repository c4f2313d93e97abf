# SPDX-License-Identifier: MIT
"""Few and many sessions of one room: what one more costs, and what the others make everything cost."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks import weighing
from benchmarks.door import Caller
from benchmarks.growth import Curve, Curves, Point
from benchmarks.guests import Guests, guests
from benchmarks.harness import quartiles, timed
from benchmarks.place import Place

ROUNDS, COMMANDS, PROBE = 20, 50, "probe"
GRAIN = 1.0  # milliseconds


def curves(place: Place, numbers: Sequence[int]) -> list[Curve]:
    """All of them, with that many sessions beside the one that is tried. Half of them have used their shell."""
    found = Curves("sessions")
    with guests(place) as here:
        if reason := here.lacks_room_for(max(numbers) + 1):
            raise RuntimeError(f"cannot measure {max(numbers)} sessions: it {reason}")
        names: list[str] = []
        for at in numbers:
            print(f"measuring with {at} sessions …", file=sys.stderr)
            more = [f"n{number}" for number in range(len(names), at)]
            names += more
            _fill(place, here, found, at, more)
            weighing.idle(place, found, at)
            _probe(here, found, at)
        _empty(here, found, names, numbers)
    return found.all()


def _fill(place: Place, here: Guests, found: Curves, at: int, more: Sequence[str]) -> None:
    before, start = weighing.weights(place), time.perf_counter()
    here.open(*more)
    seconds = time.perf_counter() - start
    found.add("opened, some at a time, of each", "ms", GRAIN, Point(at, 1e3 * seconds / len(more)))
    for role, spent in weighing.work(place, weighing.WORKERS, before).items():
        found.add(f"processor time of one more: {role}", "ms", 0.5, Point(at, spent / len(more)))
    _use_shells(here, more[::2])


def _use_shells(here: Guests, names: Sequence[str]) -> None:
    """Not measured, so a machine that is busy with something else may refuse some of them at first (503)."""
    for left in reversed(range(3)):
        try:
            here.all_of([here.command(name, "true") for name in names])
            return
        except RuntimeError as refused:
            if not left or "503" not in str(refused):
                raise
            time.sleep(1.0)  # as the answer asks (Retry-After)


def _empty(here: Guests, found: Curves, names: Sequence[str], numbers: Sequence[int]) -> None:
    """From the last number to the one before, and so on: what closing one costs with that many there."""
    taken: list[tuple[Point, Point]] = []
    for least, most in reversed(list(zip([0, *numbers], numbers, strict=False))):
        before, start = weighing.weights(here.place), time.perf_counter()
        here.close(*names[least:most])
        milliseconds = 1e3 * (time.perf_counter() - start)
        spent = weighing.work(here.place, (), before)["everything"]
        taken.append((Point(most, milliseconds / (most - least)), Point(most, spent / (most - least))))
    for closed, spent_on_it in reversed(taken):
        found.add("closed, some at a time, of each", "ms", GRAIN, closed)
        found.add("processor time of closing one: everything", "ms", GRAIN, spent_on_it)


def _probe(here: Guests, found: Curves, at: int) -> None:
    """One caller at a time, who asks for one thing at a time; the door's connection is new, the last may be too old."""
    door = Caller(here.address)
    taken: dict[str, list[float]] = {}
    commands: list[float] = []
    for _ in range(ROUNDS):
        for name, seconds in _round(here, door, commands):
            taken.setdefault(name, []).append(1e3 * seconds)
    door.close()
    for name, milliseconds in taken.items():
        found.add(name, "ms", GRAIN, Point(at, statistics.median(milliseconds), quartiles(milliseconds)))
    hundredths = statistics.quantiles(commands, n=100)
    found.add("exec, median", "ms", GRAIN / 4, Point(at, 1e3 * hundredths[49]))
    found.add("exec, 99th of 100", "ms", GRAIN, Point(at, 1e3 * hundredths[98]))


def _round(here: Guests, door: Caller, commands: list[float]) -> Iterator[tuple[str, float]]:
    first = here.command(PROBE, "echo hello")
    listing = here.address.request("GET", "/api/v1/sessions?owner=bench")
    describing = here.address.request("GET", f"/api/v1/sessions/bench/{PROBE}")
    yield "open to first output of echo", timed(lambda: door.round_trip(first))
    commands += [timed(lambda: door.round_trip(first)) for _ in range(COMMANDS)]
    yield "list", timed(lambda: door.round_trip(listing))
    yield "describe", timed(lambda: door.round_trip(describing))
    yield "close", timed(lambda: door.round_trip(here.closing(PROBE)))

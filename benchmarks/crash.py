# SPDX-License-Identifier: MIT
"""kill -9 of a service under load: who is refused, what is lost, and how soon it is Healthy again."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.harness import Figure
from benchmarks.place import Place
from benchmarks.wire import Line, request

CLIENTS, CALLS_PER_CONNECTION, DEADLINE = 8, 20, 30.0
UNIT = "strata-registry.service"


class Tally(NamedTuple):
    """What one client saw: moments of refused connections, of calls that broke, and of answers."""

    refused: list[float]
    broken: list[float]
    answered: list[float]


def figures(place: Place) -> Iterator[Figure]:
    """One crash, with clients that connect anew every few calls."""
    delay = _seconds(place.property(UNIT, "RestartUSec"))
    stop, tallies = threading.Event(), [Tally([], [], []) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=_load, args=(place, tally, stop)) for tally in tallies]
    for thread in threads:
        thread.start()
    try:
        _until(lambda: all(len(tally.answered) > 100 for tally in tallies), "the load runs")
        place.systemctl("kill", "--kill-who=main", "--signal=KILL", UNIT)
        _until(lambda: place.states()["registry"] != "Healthy", "the crash is seen")
        _until(lambda: place.states()["registry"] == "Healthy", "it is Healthy again")
        healthy = time.monotonic()
        _until(lambda: all(tally.answered[-1] > healthy for tally in tallies), "every client is served again")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    yield from _judged(tallies, delay, healthy)


def _judged(tallies: list[Tally], delay: float, healthy: float) -> Iterator[Figure]:
    refused = sum(len(tally.refused) for tally in tallies)
    broken = sorted(moment for tally in tallies for moment in tally.broken)
    # Each client has one call under way at a time: the first that breaks was in flight, a second would be lost.
    lost = sum(max(0, len(tally.broken) - 1) for tally in tallies)
    yield Figure("kill -9: refused", "connections refused while it was down", refused, "", at_most=0)
    yield Figure(
        "kill -9: lost", "calls lost that were not in flight", lost, "", at_most=0, note=f"{len(broken)} were in flight"
    )
    if not broken:
        yield Figure("kill -9: back", "no call was in flight, so the moment of the crash is not known", None, "s")
        return
    down = healthy - broken[0]
    yield Figure(
        "kill -9: back",
        f"from the end of the restart delay ({delay:g} s) to Healthy",
        down - delay,
        "s",
        at_most=0.3,
        note=f"{down:.2f} s from the kill",
    )


def _load(place: Place, tally: Tally, stop: threading.Event) -> None:
    framed = request("registry.list", {})
    while not stop.is_set():
        try:
            line = Line(place.paths.socket("registry"))
        except OSError:
            tally.refused.append(time.monotonic())
            time.sleep(0.01)
            continue
        line.sock.settimeout(DEADLINE)
        try:
            for _ in range(CALLS_PER_CONNECTION):
                if "result" not in json.loads(line.round_trip(framed)):
                    raise ConnectionError("an answer without a result")
                tally.answered.append(time.monotonic())
                time.sleep(0.001)
        except (OSError, ValueError):
            tally.broken.append(time.monotonic())
        finally:
            line.close()


def _until(condition, what: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"cannot measure a crash: it never came true that {what}")
        time.sleep(0.005)


def _seconds(span: str) -> float:
    """`1s`, `100ms`, `1min 30s` as systemctl prints them (systemd.time(7))."""
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(us|ms|s|min|h)", span))

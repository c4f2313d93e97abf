# SPDX-License-Identifier: MIT
"""A thousand sessions, one after another: what they leave behind on the machine and in those who serve them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.guests import Guests, guests
from benchmarks.harness import Figure
from benchmarks.place import Place

CYCLES, WARM_UP, SLACK = 1000, 100, 1.0
SETTLED_SECONDS = 30.0


def figures(place: Place) -> Iterator[Figure]:
    """Open, a command, close; counted after a warm-up and at the end."""
    with guests(place) as here:
        _cycle(here, WARM_UP)
        before = _settled(here)
        start = time.perf_counter()
        _cycle(here, CYCLES)
        seconds = time.perf_counter() - start
        after = _settled(here)
    yield Figure("a cycle", "open, exec and close over HTTP", 1e3 * seconds / CYCLES, "ms")
    for what in ("processes", "mounts", "cgroups", "directories", "loop devices", "units"):
        note = f"{before[what]} before"
        yield Figure(f"{CYCLES} cycles: {what}", "more than before", after[what] - before[what], "", 0, note=note)
    for who, held in after["served by"].items():
        had = before["served by"].get(who, {"descriptors": 0, "MB": 0.0})
        more = held["descriptors"] - had["descriptors"]
        yield Figure(f"{CYCLES} cycles: {who}", "descriptors more than before", more, "", 0)
        note = f"from {had['MB']:.1f}"
        grown = held["MB"] - had["MB"]
        yield Figure(f"{CYCLES} cycles: {who}", "memory more than before", grown, "MB", SLACK, note=note)


def _cycle(here: Guests, count: int) -> None:
    for _ in range(count):
        for request in (here.opening("again"), here.command("again", "echo x > file"), here.closing("again")):
            here.door.round_trip(request)


def _settled(here: Guests) -> dict[str, Any]:
    """Counted when two counts are alike: a loop device or a cgroup may still be on its way out."""
    deadline, last = time.monotonic() + SETTLED_SECONDS, _count(here)
    while time.monotonic() < deadline:
        time.sleep(1.0)
        now = _count(here)
        if {**now, "served by": None} == {**last, "served by": None}:
            return now
        last = now
    return last


def _count(here: Guests) -> dict[str, Any]:
    units = here.place.systemctl("list-units", "--all", "--plain", "--no-legend", "strata-sandbox-*")
    found: dict[str, Any] = here.inside("left", str(here.place.paths.state_dir))
    return found | {"units": len(units.splitlines())}

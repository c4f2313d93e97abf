# SPDX-License-Identifier: MIT
"""What the processes of Strata weigh with so many sessions or services: processor time and memory, role by role."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth import Curves, Point
from benchmarks.place import Place

_INSIDE = Path(__file__).with_name("scaling_inside.py")
Weights = dict[str, dict[str, float]]
SUPERVISING = ("PID 1", "journald", "supervisor", "supervisor's gateway")
WORKERS = (*SUPERVISING, "room", "room's gateway", "launcher", "door")
IDLE_SECONDS, QUIET_SECONDS, PATIENCE = 10.0, 1.0, 30.0
_QUIET = 0.02
"""Seconds of one processor in a second: less is rest."""


def weights(place: Place) -> Weights:
    """As benchmarks/scaling_inside.py says."""
    found: Weights = json.loads(place.beside(sys.executable, str(_INSIDE)))
    return found


def work(place: Place, roles: Sequence[str], before: Weights) -> dict[str, float]:
    """Milliseconds of a processor that each has worked since `before`, once everybody is at rest again. `everything`
    is PID 1, journald and all that ever ran below strata.slice, the processes of sessions and services too."""
    after = settled(place)
    spent = {role: 1e3 * (_seconds(after, role) - _seconds(before, role)) for role in (*WORKERS, "everything")}
    spent["everything"] += spent["PID 1"] + spent["journald"]
    return {role: spent[role] for role in (*roles, "everything")}


def idle(place: Place, found: Curves, at: int) -> None:
    """Over some seconds in which nobody asks for anything; and memory at the end of them."""
    before, start = settled(place), time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, seconds = weights(place), time.monotonic() - start
    for role in WORKERS:
        share = 100 * (_seconds(after, role) - _seconds(before, role)) / seconds
        found.add(f"idle processor: {role}", "%", 0.2, Point(at, share))
    for role in WORKERS:
        if role in after and after[role]["kib"]:
            found.add(f"memory: {role}", "MiB", 1.0, Point(at, after[role]["kib"] / 1024))
    if after["sessions"]["kib"]:
        found.add("memory: processes of the sessions", "MiB", 1.0, Point(at, after["sessions"]["kib"] / 1024))
    for role in ("PID 1", "supervisor", "room", "launcher"):
        found.add(f"descriptors: {role}", "", 5.0, Point(at, after[role]["descriptors"]))


def settled(place: Place) -> Weights:
    """When for a while nobody has had anything to do; or after PATIENCE, as it is then."""
    end, last = time.monotonic() + PATIENCE, weights(place)
    while time.monotonic() < end:
        time.sleep(QUIET_SECONDS)
        now = weights(place)
        if sum(_seconds(now, role) - _seconds(last, role) for role in WORKERS) < _QUIET * QUIET_SECONDS:
            return now
        last = now
    return last


def _seconds(found: Weights, role: str) -> float:
    return found.get(role, {}).get("seconds", 0.0)

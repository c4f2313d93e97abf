# SPDX-License-Identifier: MIT
"""One core for both ends of the wire, so that a round trip is work and not the waking of a sleeping core.

Between two cores a wake-up takes several times as long as the call itself, and whether the scheduler puts both ends on
one core changes from second to second: unpinned, the ratio of two medians is the ratio of two accidents.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from benchmarks.place import Place


@contextlib.contextmanager
def together(place: Place, *units: str) -> Iterator[None]:
    """Keep this process and the main processes of these units on one core; afterwards as before."""
    before = os.sched_getaffinity(0)
    core = max(before)
    pids = [place.property(unit, "MainPID") for unit in units]
    os.sched_setaffinity(0, {core})
    try:
        for pid in pids:
            _pin(place, pid, str(core))
        yield
    finally:
        os.sched_setaffinity(0, before)
        for pid in pids:
            _pin(place, pid, ",".join(map(str, sorted(before))))


def _pin(place: Place, pid: str, cores: str) -> None:
    place.beside("taskset", "--all-tasks", "--pid", "--cpu-list", cores, pid)

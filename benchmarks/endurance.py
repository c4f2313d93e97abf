# SPDX-License-Identifier: MIT
"""A hundred thousand calls: what they leave behind in the daemon."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.daemons import descriptors, main_pid, resident
from benchmarks.harness import Figure
from benchmarks.place import Place
from benchmarks.wire import Line, request

CALLS, BATCH, SLACK = 100_000, 100, 1.0


def figures(place: Place) -> Iterator[Figure]:
    """Growth of the registry over the calls, after a warm-up of a tenth of them."""
    pid = main_pid(place, "registry")
    _calls(place, CALLS // 10)
    before = resident(place, pid), descriptors(place, pid)
    _calls(place, CALLS)
    after = resident(place, pid), descriptors(place, pid)
    yield Figure(
        "100,000 calls: memory",
        "growth of the registry",
        after[0] - before[0],
        "MB",
        SLACK,
        note=f"from {before[0]:.1f}",
    )
    yield Figure("100,000 calls: descriptors", "growth of the registry", after[1] - before[1], "", 0)


def _calls(place: Place, count: int) -> None:
    line, framed = Line(place.paths.socket("registry")), request("registry.resolve", {"service": "fs"})
    size = BATCH * (4 + len(line.round_trip(framed)))
    for _ in range(count // BATCH):
        line.sock.sendall(framed * BATCH)
        left = size
        while left:
            left -= len(line.sock.recv(left))
    line.close()

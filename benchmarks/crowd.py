# SPDX-License-Identifier: MIT
"""Fifty connections against one: throughput, and whether each has its share."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks import pinned
from benchmarks.harness import Figure, ratio
from benchmarks.place import Place
from benchmarks.wire import crowd, request

CONNECTIONS, ROUNDS, SECONDS, DEEP = 50, 7, 0.5, 16


def figures(place: Place) -> Iterator[Figure]:
    """Closed loop (each waits for its answer), and for information with deep pipelines."""
    with pinned.together(place, "strata-registry.service"):
        yield from compare(place, 1, "")
        yield from compare(place, DEEP, f", {DEEP} deep")


def compare(place: Place, depth: int, label: str) -> Iterator[Figure]:
    path, framed = place.paths.socket("registry"), request("registry.resolve", {"service": "fs"})
    crowd(path, framed, CONNECTIONS, depth, 0.2)
    one, many, shares = [], [], []
    for _ in range(ROUNDS):
        one.append(sum(crowd(path, framed, 1, depth, SECONDS)) / SECONDS)
        counts = crowd(path, framed, CONNECTIONS, depth, SECONDS)
        many.append(sum(counts) / SECONDS)
        shares.append(min(counts) / max(counts))
    best = max(one)
    yield ratio(
        f"{CONNECTIONS} connections{label}",
        "throughput against the best of one connection",
        [value / best for value in many],
        at_least=0.8 if depth == 1 else None,
        note=f"{statistics.median(many):.0f}/s against {best:.0f}/s",
    )
    yield ratio(
        f"fair shares{label}",
        "answers of the slowest connection against the fastest's",
        shares,
        at_least=0.5 if depth == 1 else None,
    )

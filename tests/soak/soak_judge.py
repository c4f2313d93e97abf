# SPDX-License-Identifier: MIT
"""Whether a curve is flat: a robust slope after a warm-up, against a stated allowance."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

WINDOWS = 30
"""The judged time is cut into so many; each counts with its median, so that peaks of the load do not matter."""

FEWEST = 6
"""Windows of one life below which it says nothing about a trend."""


class Point(NamedTuple):
    """A value at a moment (seconds since the load began), of one life: a process that is restarted begins another."""

    at: float
    value: float
    life: str = ""


class Allowance(NamedTuple):
    """What a quantity may grow by and still be flat: its noise, an amount per hour, and one per 1,000 operations."""

    noise: float
    per_hour: float = 0.0
    per_thousand: float = 0.0
    why: str = ""

    def over(self, seconds: float, operations: float) -> float:
        """The most that it may grow by in that time, with so many operations."""
        return self.noise + self.per_hour * seconds / 3600 + self.per_thousand * operations / 1000


class Verdict(NamedTuple):
    """`growth` is the slope times the judged time; None where no life lasted long enough to tell."""

    name: str
    first: float
    last: float
    growth: float | None
    allowed: float
    per_hour: float
    per_thousand: float
    why: str = ""

    @property
    def flat(self) -> bool:
        return self.growth is not None and self.growth <= self.allowed


def judge(
    name: str,
    points: Sequence[Point],
    allowance: Allowance,
    span: tuple[float, float],
    settling: float,
    operations: Callable[[float], float],
) -> Verdict:
    """The verdict on `points` within `span` (seconds); `operations` tells how many were done until a moment.

    Of each life but one that is older than the span, the first `settling` seconds do not count. What fills up and then
    stays is not growth: the later half alone is judged as well, and the lesser of the two slopes counts.
    """
    start, end = span
    kept = medians(_settled(points, start, settling), span)
    seconds, done = end - start, operations(end) - operations(start)
    allowed = allowance.over(seconds, done)
    slopes = [slope(kept), slope([point for point in kept if point.at >= (start + end) / 2])]
    found = [one for one in slopes if one is not None]
    if not found:
        return Verdict(name, 0.0, 0.0, None, allowed, 0.0, 0.0, "no life of it lasted long enough to be judged")
    least = min(found)
    growth = least * seconds
    thousand = 1000 * growth / done if done else 0.0
    return Verdict(name, kept[0].value, kept[-1].value, growth, allowed, least * 3600, thousand, allowance.why)


def _settled(points: Sequence[Point], start: float, settling: float) -> list[Point]:
    born: dict[str, float] = {}
    for point in points:
        born.setdefault(point.life, point.at)
    return [point for point in points if point.at >= max(start, born[point.life] + settling)]


def medians(points: Sequence[Point], span: tuple[float, float]) -> list[Point]:
    """One point for each window and life, in order of time."""
    start, end = span
    width = (end - start) / WINDOWS
    held: dict[tuple[int, str], list[Point]] = defaultdict(list)
    for point in points:
        if start <= point.at <= end:
            held[min(WINDOWS - 1, int((point.at - start) / width)), point.life].append(point)
    return sorted(
        Point(statistics.median(one.at for one in group), statistics.median(one.value for one in group), life)
        for (_, life), group in held.items()
    )


def slope(points: Sequence[Point]) -> float | None:
    """Growth per second by Theil and Sen: the median of the slopes of all pairs, here of pairs of the same life.

    None when no life has enough points.
    """
    lives: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        lives[point.life].append(point)
    found = [
        (later.value - earlier.value) / (later.at - earlier.at)
        for life in lives.values()
        if len(life) >= FEWEST
        for number, earlier in enumerate(life)
        for later in life[number + 1 :]
        if later.at > earlier.at
    ]
    return statistics.median(found) if found else None

# SPDX-License-Identifier: MIT
"""Curves over the number of sessions or services: how they grow, and the tables that tell it.

A curve is linear or better when its last point lies on or below the line through the two points before. The first
point has no say in it: the first session pays for what all share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.harness import Figure

AT_MOST = 1.1
Quartiles = tuple[float, float]


class Point(NamedTuple):
    """A curve's value where so many are there; `spread` are its quartiles where it was taken several times."""

    at: int
    value: float
    spread: Quartiles | None = None


class Curve(NamedTuple):
    """One quantity. `grain` is the least of it that is worth a word, in its unit: below, it is noise."""

    of: str  # sessions, services
    name: str
    unit: str
    grain: float
    points: tuple[Point, ...]

    def value(self, at: int) -> float | None:
        """Its value there; None where it was not taken."""
        return next((point.value for point in self.points if point.at == at), None)


class Growth(NamedTuple):
    """Slopes per unit of number, and the last value over that of the line through the two points before."""

    early: float
    late: float
    against_the_line: float


def growth(curve: Curve) -> Growth | None:
    """None with fewer than three points. A curve that falls has no credit to rise again: its line is level."""
    if len(curve.points) < 3:
        return None
    first, second, last = curve.points[-3:]
    early = (second.value - first.value) / (second.at - first.at)
    late = (last.value - second.value) / (last.at - second.at)
    line = second.value + max(early, 0.0) * (last.at - second.at)
    return Growth(early, late, max(last.value, curve.grain) / max(line, curve.grain))


def figures(curves: Iterable[Curve]) -> list[Figure]:
    """One for each curve: whether it bends upwards."""
    found = []
    for curve in curves:
        grown = growth(curve)
        name = f"{curve.of}: {curve.name}"
        if grown is None:
            found.append(Figure(name, "at too few numbers to tell how it grows", None, "×"))
            continue
        at = curve.points[-1].at
        what = f"at {at}, over the line through the two points before"
        note = ", ".join(f"{point.at}: {number(point.value)}" for point in curve.points) + f" {curve.unit}"
        found.append(Figure(name, what, grown.against_the_line, "×", at_most=AT_MOST, note=note))
    return found


def table(curves: Sequence[Curve]) -> str:
    """Markdown: a row for each curve, a column for each number."""
    numbers = sorted({point.at for curve in curves for point in curve.points})
    head = ["what", *map(str, numbers), *_slopes(numbers), "against the line"]
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *(_row(curve, numbers) for curve in curves)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _slopes(numbers: Sequence[int]) -> list[str]:
    if len(numbers) < 3:
        return []
    return [f"each, {first} to {last}" for first, last in zip(numbers[-3:-1], numbers[-2:], strict=True)]


def _row(curve: Curve, numbers: Sequence[int]) -> list[str]:
    values = [curve.value(at) for at in numbers]
    cells = [f"{curve.name}, {curve.unit}", *("" if value is None else number(value) for value in values)]
    if len(numbers) < 3:
        return [*cells, ""]
    grown = growth(curve)
    if grown is None or curve.points[-1].at != numbers[-1]:
        return [*cells, "", "", ""]
    return [*cells, number(grown.early), number(grown.late), f"{grown.against_the_line:.2f} ×"]


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}" if abs(value) >= 0.0001 else "0"


def between(page: str, name: str, text: str) -> str:
    """The page with `text` between its markers `<!-- generated: NAME -->` and `<!-- end: NAME -->`. Raises ValueError
    where the page has not both."""
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"cannot write {name}: the page lacks {begin.strip()} or {end}")
    return f"{before}{begin}{text}\n{end}{after}"


def document(curves: Iterable[Curve]) -> list[dict[str, Any]]:
    """For a program."""
    return [{**curve._asdict(), "points": [point._asdict() for point in curve.points]} for curve in curves]


def read(rows: Iterable[Mapping[str, Any]]) -> list[Curve]:
    """What `document` made."""
    return [Curve(**{**row, "points": tuple(map(_point, row["points"]))}) for row in rows]


def _point(row: Mapping[str, Any]) -> Point:
    return Point(row["at"], row["value"], tuple(row["spread"]) if row["spread"] else None)


class Curves:
    """Gathers points, in the order in which curves are met first."""

    def __init__(self, of: str) -> None:
        self.of = of
        self._units: dict[str, tuple[str, float]] = {}
        self._points: dict[str, list[Point]] = {}

    def add(self, name: str, unit: str, grain: float, point: Point) -> None:
        """One more point of a curve."""
        self._units[name] = unit, grain
        self._points.setdefault(name, []).append(point)

    def all(self) -> list[Curve]:
        """Every curve."""
        return [Curve(self.of, name, *self._units[name], tuple(points)) for name, points in self._points.items()]

# SPDX-License-Identifier: MIT
"""How things are measured: A B A B … in one run, medians, their spread, and a figure beside its target.

A number without a baseline beside it, taken in the same minute on the same machine, says nothing; a ratio does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

Action = Callable[[], object]


class Figure(NamedTuple):
    """One result. `at_most` and `at_least` are bounds on `measured`; with neither it is there for information."""

    name: str
    what: str
    measured: float | None
    unit: str = "×"
    at_most: float | None = None
    at_least: float | None = None
    spread: tuple[float, float] | None = None  # quartiles of `measured`
    note: str = ""
    part: str = ""  # of the run that it was taken in
    details: Mapping[str, Any] | None = None  # for programs: what a table or plot is made of

    @property
    def verdict(self) -> str:
        """pass, MISSED, info, or NOT MEASURED (the note then says why)."""
        if self.measured is None:
            return "NOT MEASURED"
        if self.at_most is None and self.at_least is None:
            return "info"
        low = self.at_least is not None and self.measured < self.at_least
        return "MISSED" if low or (self.at_most is not None and self.measured > self.at_most) else "pass"

    @property
    def target(self) -> str:
        """The bound in words."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {self.unit}"
        return "" if self.at_least is None else f"≥ {self.at_least:g} {self.unit}"


class Samples(NamedTuple):
    """Per action, one median per round, in seconds; the same round of two actions ran within milliseconds."""

    rounds: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.rounds[name])

    def ratios(self, name: str, baseline: Callable[[Mapping[str, float]], float]) -> list[float]:
        """`name` over the baseline, round by round; `baseline` computes it from a round's medians."""
        count = len(self.rounds[name])
        each = [{key: values[at] for key, values in self.rounds.items()} for at in range(count)]
        return [row[name] / baseline(row) for row in each]


def alternate(actions: Mapping[str, Action], rounds: int, block: int) -> Samples:
    """Run a block of each action in turn, so many rounds; the first round warms up and is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            median = statistics.median(timed(action) for _ in range(block))
            if turn:
                taken[name].append(median)
    return Samples(taken)


def timed(action: Action) -> float:
    """Seconds that it takes once."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile, of two values at least: linear between them, so never beyond what was seen."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def ratio(
    name: str,
    what: str,
    values: Sequence[float],
    at_most: float | None = None,
    at_least: float | None = None,
    note: str = "",
) -> Figure:
    """A figure from round-by-round ratios."""
    return Figure(name, what, statistics.median(values), "×", at_most, at_least, quartiles(values), note)


def unmeasured(name: str, what: str, why: str) -> Figure:
    """A figure that could not be taken, said aloud."""
    return Figure(name, what, None, "", note=why)

# SPDX-License-Identifier: MIT
"""What came out: a text for people, JSON for programs, curves for both."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soak_table
from soak_book import Book, Latency, latency, percentiles
from soak_judge import Point, Verdict, judge
from soak_sample import Sample

_SPARKS = "▁▂▃▄▅▆▇█"


@dataclass
class Outcome:
    """All that was seen."""

    seconds: float
    warm_up: float
    settling: float
    book: Book
    before: Sample
    names_before: dict[str, set[str]]
    samples: list[tuple[float, Sample]] = field(default_factory=list)
    after: Sample = field(default_factory=dict)
    names_after: dict[str, set[str]] = field(default_factory=dict)

    def series(self) -> dict[str, list[Point]]:
        found: dict[str, list[Point]] = defaultdict(list)
        for at, sample in self.samples:
            for name, value in sample.items():
                found[name].append(Point(at, value.value, value.life))
        return dict(sorted(found.items()))

    @property
    def span(self) -> tuple[float, float]:
        return self.warm_up, self.seconds

    def verdicts(self) -> list[Verdict]:
        """Of all that there is a rule for."""
        found = []
        for name, points in self.series().items():
            rule = soak_table.allowance(name)
            if rule:
                found.append(judge(name, points, rule, self.span, self.settling, self.book.done))
        return found

    def left(self) -> list[str]:
        """What is still there when all are gone."""
        found = []
        for name, value in self.after.items():
            most, was = soak_table.left(name), self.before.get(name)
            if most is not None and was is not None and value.value > was.value + most:
                new = sorted(self.names_after.get(name, set()) - self.names_before.get(name, set()))
                found.append(f"{name}: {value.value:g} afterwards, {was.value:g} before; new: {', '.join(new[:20])}")
        return found

    def latencies(self) -> list[Latency]:
        found = (latency(name, taken, self.span) for name, taken in sorted(self.book.taken.items()))
        return [one for one in found if one]

    def failures(self) -> list[str]:
        """A sentence for each thing that is not as it should be; none is a pass."""
        grown = [
            f"{one.name} grew by {one.growth:.1f} from {one.first:.1f}, {one.allowed:.1f} is allowed "
            f"({one.per_hour:.1f}/h, {one.per_thousand:.2f} per 1,000 operations)"
            if one.growth is not None
            else f"{one.name}: {one.why}"
            for one in self.verdicts()
            if not one.flat
        ]
        wrong = [f"{one.operation} at {one.at:.0f} s: {one.kind}: {one.sentence}" for one in self.book.unexpected()]
        more = [f"… and {len(wrong) - 20} more errors"] if len(wrong) > 20 else []
        idle = [] if self.book.done(self.seconds) > self.seconds else ["the load did less than one operation a second"]
        return [*grown, *(f"left behind: {one}" for one in self.left()), *wrong[:20], *more, *idle]


def text(outcome: Outcome) -> str:
    """The report."""
    book, lines = outcome.book, []
    done = book.done(float("inf"))
    lines.append(
        f"{outcome.seconds:.0f} s of load, {done} operations ({done / outcome.seconds:.1f}/s); "
        f"judged from {outcome.warm_up:.0f} s on"
    )
    lines += ["", f"{'quantity':<48} {'first':>9} {'last':>9} {'growth':>9} {'allowed':>9}  curve"]
    series = outcome.series()
    for one in outcome.verdicts():
        growth = "–" if one.growth is None else f"{one.growth:.1f}"
        mark = "" if one.flat else "  FAIL"
        lines.append(
            f"{one.name:<48} {one.first:>9.1f} {one.last:>9.1f} {growth:>9} {one.allowed:>9.1f}  "
            f"{_curve(series[one.name], outcome.seconds)}{mark}"
        )
    lines += ["", f"{'operation':<32} {'count':>7} {'p50 ms':>8} {'p99 ms':>8} {'early p50':>10} {'late p50':>9}"]
    for row in outcome.latencies():
        lines.append(
            f"{row.operation:<32} {row.count:>7} {row.p50:>8.1f} {row.p99:>8.1f} {row.early:>10.1f} {row.late:>9.1f}"
        )
    kinds = book.kinds()
    lines += ["", "errors: " + (", ".join(_kind(*kind, count) for kind, count in kinds.items()) or "none")]
    failures = outcome.failures()
    lines += ["", *(f"FAIL {one}" for one in failures), "FAILED" if failures else "flat"]
    return "\n".join(lines)


def _kind(operation: str, kind: str, expected: bool, count: int) -> str:
    return f"{count} {kind} in {operation}{'' if expected else ' (UNEXPECTED)'}"


def _curve(points: list[Point], seconds: float, width: int = 24) -> str:
    """The whole run in a few characters, from its least to its most."""
    cells: list[list[float]] = [[] for _ in range(width)]
    for point in points:
        cells[min(width - 1, int(width * point.at / seconds))].append(point.value)
    means = [sum(cell) / len(cell) if cell else None for cell in cells]
    known = [mean for mean in means if mean is not None]
    low, high = min(known), max(known)
    scale = (len(_SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if mean is None else _SPARKS[int((mean - low) * scale)] for mean in means)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Everything, with the curves."""
    return {
        "seconds": outcome.seconds,
        "operations": outcome.book.done(float("inf")),
        "failures": outcome.failures(),
        "verdicts": [{**one._asdict(), "flat": one.flat} for one in outcome.verdicts()],
        "latencies": [one._asdict() for one in outcome.latencies()],
        "percentiles": {
            name: percentiles(taken, outcome.seconds / 30) for name, taken in sorted(outcome.book.taken.items())
        },
        "troubles": [one._asdict() for one in outcome.book.troubles],
        "series": {name: [tuple(point) for point in points] for name, points in outcome.series().items()},
    }


def write(outcome: Outcome, directory: Path) -> None:
    """soak.txt, soak.json and, where matplotlib is there, soak.svg."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "soak.txt").write_text(text(outcome) + "\n")
    (directory / "soak.json").write_text(json.dumps(as_json(outcome)) + "\n")
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    _plot(outcome, directory / "soak.svg")


_PANELS = {
    "own memory, MiB": r": own memory",
    "descriptors": r": descriptors",
    "units, cgroups, processes, mounts": r"units|cgroups|processes|mounts",
    "directories and journal, MiB": r": MiB",
}


def _plot(outcome: Outcome, file: Path) -> None:
    import re

    from matplotlib import pyplot

    figure, panels = pyplot.subplots(len(_PANELS), 1, figsize=(10, 14), sharex=True)
    for panel, (title, pattern) in zip(panels, _PANELS.items(), strict=True):
        for name, points in outcome.series().items():
            if re.search(pattern, name):
                panel.plot([point.at / 60 for point in points], [point.value for point in points], label=name, lw=1)
        panel.axvspan(0, outcome.warm_up / 60, color="0.93")
        panel.set_title(title, fontsize=9, loc="left")
        panel.legend(fontsize=5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    panels[-1].set_xlabel("minutes of load")
    figure.tight_layout()
    figure.savefig(file)
    pyplot.close(figure)

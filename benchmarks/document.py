# SPDX-License-Identifier: MIT
"""The figures as the tables of docs/benchmarks.md, each between its markers; made of a run's JSON alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.growth import between
from benchmarks.harness import Figure

WORKS = {
    "open": "Open, cold: until the first output",
    "again": "Open, at once after another",
    "exec": "A command in an open sandbox",
    "line": "A line to a shell on a pipe",
    "idle": "Memory of one that waits",
    "close": "Close: until nothing is left",
    "burst": "A hundred at once",
    "bulk": "Bulk output",
}
"""In the order of the page."""

WALLS = {
    "mounts": "mounts",
    "processes": "pids",
    "network": "network",
    "users": "users",
    "own_root": "own root on disk",
    "filter": "system calls",
    "limits": "limits",
    "disk": "disk",
    "session": "session",
    "reattach": "reattach",
}


def page(text: str, figures: Sequence[Figure], machine: Mapping[str, Any]) -> str:
    """The page with all its tables anew. Raises ValueError when it lacks a marker."""
    blocks = {
        "benchmarks machine": ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items()) + ".\n",
        "benchmarks targets": targets(figures),
        "benchmarks summary": summary(figures),
        "benchmarks isolation": isolation(figures),
        "benchmarks works": works(figures),
        "benchmarks rest": rest(figures),
        "benchmarks missing": missing(figures),
    }
    for name, block in blocks.items():
        text = between(text, name, block.rstrip("\n"))
    return text


def standing(figure: Figure) -> str:
    """Strata beside a peer: ahead or behind where three rounds of four say so, else alike."""
    assert figure.measured is not None
    low, high = figure.spread or (figure.measured, figure.measured)
    return "ahead" if low > 1 else "behind" if high < 1 else "alike"


def targets(figures: Sequence[Figure]) -> str:
    """Every bound of the comparison and whether it is kept."""
    rows = [
        (figure.name, times(figure), f"{figure.target}", figure.verdict)
        for figure in _compared(figures)
        if figure.target
    ]
    return table(("figure", "peer / Strata", "target", "verdict"), rows)


def summary(figures: Sequence[Figure]) -> str:
    """For each work the peers that Strata is ahead of, and those that it is behind."""
    lines = []
    for work, title in WORKS.items():
        of_work = [figure for figure in _compared(figures) if _detail(figure, "work") == work]
        for word, said in (("ahead", "ahead of"), ("alike", "like"), ("behind", "**behind**")):
            there = [figure for figure in of_work if standing(figure) == word]
            if there:
                names = ", ".join(f"{_detail(figure, 'peer')} ({digits(figure.measured or 0.0)} ×)" for figure in there)
                lines.append(f"* {title}: {said} {names}.")
    return "\n".join(lines) + "\n"


def isolation(figures: Sequence[Figure]) -> str:
    """Who gives what; those with all that Strata gives are marked."""
    rows = []
    for figure in figures:
        if figure.name.startswith("peer: ") and figure.details:
            given = figure.details["isolation"]
            marks = ["yes" if given[wall] else "" for wall in WALLS]
            same = "yes" if figure.details["same"] else ""
            rows.append((figure.details["peer"], figure.details["version"] or "not measured", same, *marks))
    return table(("", "version", "the same walls", *WALLS.values()), rows)


def works(figures: Sequence[Figure]) -> str:
    """A table for each work, the quickest peer first; the same isolation in bold."""
    parts = []
    for work, title in WORKS.items():
        of_work = [figure for figure in _compared(figures) if _detail(figure, "work") == work]
        if of_work:
            ordered = sorted(of_work, key=lambda figure: figure.measured or 0.0)
            head = ("", "peer", "Strata", "peer / Strata", "")
            parts.append(f"### {title}\n\n{_capital(ordered[0].what)}.\n\n{table(head, map(_row, ordered))}")
    return "\n".join(parts)


def rest(figures: Sequence[Figure]) -> str:
    """All other figures, a table a part of the run."""
    parts: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.part != "sandboxes":
            parts.setdefault(figure.part, []).append(figure)
    return "\n".join(f"### {part}\n\n{table(_HEAD, map(_plain, rows))}" for part, rows in parts.items())


def missing(figures: Sequence[Figure]) -> str:
    """What could not be measured and why."""
    rows = [(figure.name, figure.note) for figure in figures if figure.measured is None]
    return table(("figure", "why"), rows) if rows else "Nothing.\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def times(figure: Figure) -> str:
    """A ratio with its quartiles."""
    spread = f" ({digits(figure.spread[0])} – {digits(figure.spread[1])})" if figure.spread else ""
    return f"{digits(figure.measured or 0.0)} ×{spread}"


_HEAD = ("figure", "measured", "target", "verdict", "quartiles", "what")


def _row(figure: Figure) -> tuple[str, ...]:
    details = figure.details or {}
    name = f"**{details['peer']}**" if details["same"] else details["peer"]
    absolute = [f"{digits(details[who])} {details['unit']}" for who in ("theirs", "ours")]
    return name, *absolute, times(figure), details["remark"]


def _plain(figure: Figure) -> tuple[str, ...]:
    measured = "" if figure.measured is None else f"{digits(figure.measured)} {figure.unit}".rstrip()
    spread = f"{digits(figure.spread[0])} – {digits(figure.spread[1])}" if figure.spread else ""
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    return figure.name, measured, figure.target, figure.verdict, spread, what


def _compared(figures: Sequence[Figure]) -> list[Figure]:
    return [figure for figure in figures if _detail(figure, "work") and figure.measured is not None]


def _detail(figure: Figure, name: str) -> Any:
    return (figure.details or {}).get(name)


def digits(value: float) -> str:
    """Three digits, no exponent."""
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

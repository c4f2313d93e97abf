# SPDX-License-Identifier: MIT
"""The comparison as one picture: a panel for each work, a dot for each peer with its quartiles, over Strata's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.document import WORKS, digits
from benchmarks.harness import Figure

SAME, OTHER, US = "#b3261e", "#6b7280", "#1d4ed8"


def draw(figures: Sequence[Figure], file: Path) -> None:
    """Written as SVG, or what the file's name ends with. Raises RuntimeError without matplotlib or without figures."""
    panels = {work: rows for work in WORKS if (rows := _rows(figures, work))}
    if not panels:
        raise RuntimeError("cannot draw: no peer was measured in this run")
    plt = _pyplot()
    heights = [len(rows) + 2 for rows in panels.values()]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(9, 1.5 + 0.26 * sum(heights)),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
        layout="constrained",
    )
    for (work, rows), (axis,) in zip(panels.items(), axes, strict=True):
        _panel(axis, WORKS[work], rows)
    axes[-1][0].set_xlabel("peer / Strata, logarithmic: right of the line Strata is ahead, left of it behind")
    figure.suptitle("Strata beside other sandboxes (red: the same walls; line: quartiles)", fontsize=11)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _rows(figures: Sequence[Figure], work: str) -> list[Figure]:
    there = [one for one in figures if one.details and one.details.get("work") == work and one.measured is not None]
    return sorted(there, key=lambda one: one.measured or 0.0, reverse=True)


def _panel(axis: Any, title: str, rows: Sequence[Figure]) -> None:
    for at, row in enumerate(rows):
        details, color = row.details or {}, SAME if (row.details or {}).get("same") else OTHER
        low, high = row.spread or (row.measured, row.measured)
        axis.plot([low, high], [at, at], color=color, linewidth=2, alpha=0.5, solid_capstyle="butt")
        axis.plot([row.measured], [at], "o", color=color, markersize=5)
        label = f"{digits(row.measured or 0.0)} ×   {digits(details['theirs'])} {details['unit']}"
        axis.annotate(label, (max(high or 0, row.measured or 0), at), (6, -3), textcoords="offset points", fontsize=7)
    axis.axvline(1.0, color=US, linewidth=1)
    axis.set_xscale("log")
    axis.set_yticks(range(len(rows)), [str((row.details or {})["peer"]) for row in rows], fontsize=8)
    axis.set_ylim(-0.7, len(rows) - 0.3)
    axis.margins(x=0.22)
    ours = sorted((row.details or {})["ours"] for row in rows)
    unit = (rows[0].details or {})["unit"]
    axis.set_title(f"{title} — Strata {digits(ours[len(ours) // 2])} {unit}", fontsize=9, loc="left")
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(visible=True, axis="x", which="major", alpha=0.3)


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise RuntimeError("cannot draw: matplotlib is not installed; scripts/bootstrap bench installs it") from error
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "strata"  # the same picture from the same figures
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot

    return pyplot

# SPDX-License-Identifier: MIT
"""The curves as one picture: each over its own value at the least number, so that a level line costs nothing more and
a line of slope one grows with the number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import Curve

PANELS = (
    (
        "time of one, ms",
        ("open to first output of echo", "exec, median", "exec, 99th of 100", "close", "start", "stop"),
    ),
    ("time to crash and come back, list, describe, ms", ("crash to running", "list", "describe")),
    ("processor time of one more, ms", ("processor time of one more: ",)),
    ("memory, MiB", ("memory: ",)),
)


def draw(curves: Sequence[Curve], file: Path) -> None:
    """A row of panels for sessions, one for services; SVG or whatever the file's name ends with. Raises ImportError
    without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "strata"  # the same picture from the same figures
    from matplotlib import pyplot as plt

    kinds = sorted({curve.of for curve in curves}, reverse=True)
    figure, axes = plt.subplots(len(kinds), len(PANELS), figsize=(5 * len(PANELS), 4.2 * len(kinds)), squeeze=False)
    for kind, row in zip(kinds, axes, strict=True):
        for (title, names), panel in zip(PANELS, row, strict=True):
            _fill(panel, [curve for curve in curves if curve.of == kind and curve.name.startswith(names)], names)
            panel.set(title=f"{kind}: {title}", xlabel=kind, xscale="log", yscale="log")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _fill(panel: Any, curves: Sequence[Curve], names: Sequence[str]) -> None:
    for curve in curves:
        points = [point for point in curve.points if point.value >= curve.grain / 10]
        label = curve.name.removeprefix(names[0]) or curve.name
        panel.plot([point.at for point in points], [point.value for point in points], marker="o", label=label)
    if curves:
        panel.legend(fontsize=7)
    panel.grid(visible=True, which="major", alpha=0.3)

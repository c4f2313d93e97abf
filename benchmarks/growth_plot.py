# SPDX-License-Identifier: MIT
"""The curves as one picture. Both axes are logarithmic: a level line costs nothing more, and one that rises as steeply
as the frame's diagonal grows with the number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import Curve

PANELS = (
    ("time of one, ms", ("open to", "exec,", "close", "start", "stop", "crash to", "list", "describe")),
    ("processor time of one more, ms", ("processor time of one more: ",)),
    ("memory, MiB", ("memory: ",)),
)


def draw(curves: Sequence[Curve], file: Path) -> None:
    """A row of panels for sessions, one for services; SVG or whatever the file's name ends with. Raises ImportError
    without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "strata", "svg.fonttype": "none"})  # the same picture from the same figures
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    kinds = sorted({curve.of for curve in curves}, reverse=True)
    figure, axes = plt.subplots(len(kinds), len(PANELS), figsize=(5 * len(PANELS), 4.2 * len(kinds)), squeeze=False)
    for kind, row in zip(kinds, axes, strict=True):
        for (title, names), panel in zip(PANELS, row, strict=True):
            _fill(panel, [curve for curve in curves if curve.of == kind and curve.name.startswith(names)])
            panel.set(title=f"{kind}: {title}", xlabel=kind, xscale="log", yscale="log")
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
                axis.set_minor_formatter(ticker.NullFormatter())
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _fill(panel: Any, curves: Sequence[Curve]) -> None:
    for curve in curves:
        points = [point for point in curve.points if point.value >= curve.grain / 10]
        label = curve.name.rpartition(": ")[2]
        panel.plot([point.at for point in points], [point.value for point in points], marker="o", label=label)
    if curves:
        panel.legend(fontsize=7)
    panel.grid(visible=True, which="major", alpha=0.3)

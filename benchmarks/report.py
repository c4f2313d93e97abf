# SPDX-License-Identifier: MIT
"""The figures as a table for a person and as JSON for a program, with the machine they were taken on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Figure

COLUMNS = ("figure", "measured", "target", "verdict", "spread", "what")


def machine(mode: str) -> dict[str, Any]:
    """What the figures depend on."""
    said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "systemd": said.partition("\n")[0].removeprefix("systemd "),
        "mode": mode,
        "load": os.getloadavg()[0],
    }


def table(figures: Sequence[Figure], where: dict[str, Any]) -> str:
    """All figures, one a line, and the machine above them."""
    rows = [COLUMNS, *(_row(figure) for figure in figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([", ".join(f"{key} {value}" for key, value in where.items()), "", *lines])


def _row(figure: Figure) -> tuple[str, ...]:
    spread = f"{figure.spread[0]:.2f} – {figure.spread[1]:.2f}" if figure.spread else ""
    measured = "" if figure.measured is None else f"{figure.measured:.2f} {figure.unit}".rstrip()
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    return figure.name, measured, figure.target, figure.verdict, spread, what


def document(figures: Sequence[Figure], where: dict[str, Any]) -> dict[str, Any]:
    """The same for a program."""
    return {"machine": where, "figures": [{**figure._asdict(), "verdict": figure.verdict} for figure in figures]}

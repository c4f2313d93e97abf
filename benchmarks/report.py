# SPDX-License-Identifier: MIT
"""The figures as a table for a person and as JSON for a program, with the machine they were taken on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure

COLUMNS = ("figure", "measured", "target", "verdict", "spread", "what")


def machine(mode: str) -> dict[str, Any]:
    """What the figures depend on. `load` is that of the last minute, at the beginning."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "taken": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "systemd": _systemd(),
        "cgroups": _cgroups(),
        "mode": mode,
        "load": round(os.getloadavg()[0], 2),
    }


def with_load(where: Mapping[str, Any]) -> dict[str, Any]:
    """The same at the end of a run."""
    return {**where, "load_at_the_end": round(os.getloadavg()[0], 2)}


def _cpu(text: str) -> str:
    found = re.search(r"^(?:model name|Model|CPU part)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _systemd() -> str:
    said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0].removeprefix("systemd ")


def _cgroups() -> str:
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "v2"
    return "v1 beside v2" if Path("/sys/fs/cgroup/unified").exists() else "v1"


def table(figures: Sequence[Figure], where: Mapping[str, Any]) -> str:
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


def document(figures: Sequence[Figure], where: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a program."""
    return {"machine": dict(where), "figures": [{**figure._asdict(), "verdict": figure.verdict} for figure in figures]}


def read(written: Mapping[str, Any]) -> tuple[list[Figure], dict[str, Any]]:
    """The figures and the machine of a document."""
    return [_figure(row) for row in written["figures"]], dict(written["machine"])


def _figure(row: Mapping[str, Any]) -> Figure:
    known = {key: row[key] for key in Figure._fields if key in row}
    return Figure(**known | {"spread": tuple(row["spread"]) if row.get("spread") else None})

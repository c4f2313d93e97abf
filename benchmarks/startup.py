# SPDX-License-Identifier: MIT
"""What one typed command costs: the whole process of strata-ctl against Python that only imports click."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Figure, alternate, ratio, unmeasured
from benchmarks.place import Place

ROUNDS, BLOCK = 12, 3


def figures(place: Place) -> Iterator[Figure]:
    """`strata-ctl supervisor.status`, the installed script as a person types it."""
    program = Path(sys.executable).with_name("strata-ctl")
    name, what = "strata-ctl", 'supervisor.status, whole process, against python -c "import click"'
    if not program.exists():
        yield unmeasured(name, what, f"{program} is not installed")
        return
    samples = alternate(
        {
            "ctl": _process(place, str(program), "supervisor.status"),
            "click": _process(place, sys.executable, "-c", "import click"),
            "python": _process(place, sys.executable, "-c", ""),
        },
        ROUNDS,
        BLOCK,
    )
    note = ", ".join(f"{each} {samples.median(each) * 1e3:.0f} ms" for each in ("ctl", "click", "python"))
    yield ratio(name, what, samples.ratios("ctl", lambda row: row["click"]), at_most=2.5, note=note)


def _process(place: Place, *argv: str):  # type: ignore[no-untyped-def]
    environment = place.environment()
    return lambda: subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)

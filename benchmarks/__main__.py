# SPDX-License-Identifier: MIT
"""`python -m benchmarks`: boot a Strata (or take a running one), measure it beside its baselines, print the table."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import (
    bulk,
    commands,
    crash,
    crowd,
    cycles,
    daemons,
    endurance,
    idle,
    opening,
    place,
    report,
    rooms,
    startup,
)
from benchmarks.harness import Figure
from benchmarks.place import Place

# In this order: memory is looked at after the load, and the crash comes last.
PARTS: dict[str, Callable[[Place], Iterator[Figure]]] = {
    "rooms": rooms.figures,
    "crowd": crowd.figures,
    "endurance": endurance.figures,
    "startup": startup.figures,
    "opening": opening.figures,
    "commands": commands.figures,
    "bulk": bulk.figures,
    "idle": idle.figures,
    "cycles": cycles.figures,
    "daemons": daemons.figures,
    "crash": crash.figures,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runtime-dir", type=Path, metavar="DIR", help="measure the Strata that runs there")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed or not measured")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a Strata booted for the run is taken down
    found: list[Figure] = []
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(place.given(given.runtime_dir) if given.runtime_dir else place.booted())
        machine = report.machine(where.mode)
        try:
            for part in given.only or PARTS:
                print(f"measuring {part} …", file=sys.stderr)
                for figure in PARTS[part](where):
                    found.append(figure)
        finally:  # what was measured before something went wrong was measured
            print(report.table(found, machine))
    if given.json:
        given.json.write_text(place.pretty(report.document(found, machine)) + "\n", encoding="utf-8")
    short = [figure for figure in found if figure.verdict not in ("pass", "info")]
    return 1 if given.strict and short else os.EX_OK


if __name__ == "__main__":
    sys.exit(main())

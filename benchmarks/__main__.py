# SPDX-License-Identifier: MIT
"""`python -m benchmarks`: boot a Strata (or take a running one), measure it beside its baselines, print the table."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    bulk,
    commands,
    crash,
    crowd,
    cycles,
    daemons,
    document,
    endurance,
    idle,
    opening,
    place,
    plot,
    report,
    rooms,
    sandboxes,
    services,
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
    "sandboxes": sandboxes.figures,
    "services": services.figures,
    "idle": idle.figures,
    "cycles": cycles.figures,
    "daemons": daemons.figures,
    "crash": crash.figures,
}


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runtime-dir", type=Path, metavar="DIR", help="measure the Strata that runs there")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="PART", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="measure nothing: take an earlier run's figures")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the comparison with other sandboxes there")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the tables between that page's markers")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a target is missed or not measured")
    given = parser.parse_args(argv)
    if given.from_json and (given.only or given.runtime_dir or given.json):
        parser.error("--from-json measures nothing, so --only, --runtime-dir and --json have no meaning beside it")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    given = arguments(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a Strata booted for the run is taken down
    found, machine = earlier(given.from_json) if given.from_json else measured(given)
    if given.json:
        given.json.write_text(place.pretty(report.document(found, machine)) + "\n", encoding="utf-8")
    if given.plot:
        plot.draw(found, given.plot)
    if given.document:
        text = document.page(given.document.read_text(encoding="utf-8"), found, machine)
        given.document.write_text(text, encoding="utf-8")
    short = [figure for figure in found if figure.verdict not in ("pass", "info")]
    return 1 if given.strict and short else os.EX_OK


def measured(given: argparse.Namespace) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of a run; what was measured before something went wrong is printed all the same."""
    found: list[Figure] = []
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(place.given(given.runtime_dir) if given.runtime_dir else place.booted())
        machine = report.machine(where.mode)
        try:
            for part in given.only or PARTS:
                print(f"measuring {part} …", file=sys.stderr)
                for figure in PARTS[part](where):
                    found.append(figure._replace(part=part))
        finally:
            machine = report.with_load(machine)
            print(report.table(found, machine))
    return found, machine


def earlier(file: Path) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of an earlier run's JSON, printed again."""
    found, machine = report.read(json.loads(file.read_text(encoding="utf-8")))
    print(report.table(found, machine))
    return found, machine


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""`python -m benchmarks.scaling`: how Strata grows from one session, and from one service, to hundreds."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import growth, growth_plot, place, report, scaling_services, scaling_sessions
from benchmarks.growth import Curve
from benchmarks.place import Place

NUMBERS = (1, 10, 100, 500)
KINDS: dict[str, Callable[[Place, Sequence[int]], list[Curve]]] = {
    "sessions": scaling_sessions.curves,
    "services": scaling_services.curves,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--only", choices=KINDS, help="sessions or services alone")
    parser.add_argument("--numbers", type=_numbers, default=NUMBERS, metavar="N,N,N", help="default: 1,10,100,500")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the curves there")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="measure nothing: take an earlier run's curves")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the tables between its markers")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves there")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a curve bends upwards")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a Strata booted for the run is taken down
    curves, machine = _earlier(given.from_json) if given.from_json else _measured(given)
    found = growth.figures(curves)
    print(report.table(found, machine))
    if given.json:
        written = {"machine": machine, "curves": growth.document(curves)}
        given.json.write_text(place.pretty(written) + "\n", encoding="utf-8")
    if given.document:
        given.document.write_text(_page(given.document.read_text("utf-8"), curves, machine), encoding="utf-8")
    if given.plot:
        growth_plot.draw(curves, given.plot)
    return 1 if given.strict and any(figure.verdict != "pass" for figure in found) else os.EX_OK


def _measured(given: argparse.Namespace) -> tuple[list[Curve], dict[str, object]]:
    """A Strata for each kind: what the sessions left in memory is not the services'."""
    curves: list[Curve] = []
    machine: dict[str, object] = {}
    start = time.monotonic()
    for kind in [given.only] if given.only else KINDS:
        with place.booted() as where:
            machine = machine or report.machine(where.mode)
            curves += KINDS[kind](where, given.numbers)
    print(f"measured in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return curves, machine


def _earlier(file: Path) -> tuple[list[Curve], dict[str, object]]:
    written = json.loads(file.read_text(encoding="utf-8"))
    return growth.read(written["curves"]), written["machine"]


def _page(page: str, curves: Sequence[Curve], machine: dict[str, object]) -> str:
    page = growth.between(page, "scaling machine", ", ".join(f"{key} {value}" for key, value in machine.items()))
    for kind in KINDS:
        if of_kind := [curve for curve in curves if curve.of == kind]:
            page = growth.between(page, f"scaling {kind}", growth.table(of_kind))
    return page


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(word) for word in text.split(","))
    if list(numbers) != sorted(set(numbers)) or numbers[0] < 1:
        raise argparse.ArgumentTypeError("numbers that grow, from 1 on")
    return numbers


if __name__ == "__main__":
    sys.exit(main())

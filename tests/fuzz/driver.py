# SPDX-License-Identifier: MIT
"""Fuzz one target, some, or all: `python driver.py frame --seconds 60`, `python driver.py --all --seconds 3600`.

README.md beside it says how to repeat a crash, how to add a target, and how an hour each comes together.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine import ledger, target, worker
from engine.campaign import HEADER, Outcome, fuzz, minimise


def main() -> int:
    """Do what the arguments say; 1 when anything crashed."""
    asked = _arguments()
    if asked.totals:
        print(ledger.table())
        return 0
    names = target.names() if asked.all else asked.names
    if not names:
        sys.exit(f"name a target, or say --all; there are: {' '.join(target.names())}")
    if asked.repeat:
        return worker.repeat(names[0], [Path(file) for file in asked.repeat])
    if asked.minimise:
        return max(minimise(name) for name in names)
    return _fuzz(names, asked)


def _fuzz(names: list[str], asked: argparse.Namespace) -> int:
    if not target.coverage_guided():
        print("atheris is not here: random mutation of the corpus from a fixed seed, no coverage", flush=True)
    with ThreadPoolExecutor(asked.jobs) as pool:
        outcomes = list(pool.map(lambda name: _one(name, asked), names))
    print(f"\n{HEADER}", *outcomes, sep="\n")
    print("", ledger.table(), sep="\n") if asked.all else None
    return 1 if any(outcome.crashes for outcome in outcomes) else 0


def _one(name: str, asked: argparse.Namespace) -> Outcome:
    fresh = tempfile.mkdtemp(prefix="strata-fuzz-") if asked.fresh else ""
    found = Path(fresh or asked.corpus or target.found_dir(name))
    try:
        outcome = fuzz(name, asked.seconds, found, asked.seed)
    finally:
        if fresh:
            shutil.rmtree(fresh)
    print(outcome, flush=True)
    ledger.add(outcome)
    return outcome


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets")
    parser.add_argument("--all", action="store_true", help="every target")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (1)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (0: another one each time)")
    parser.add_argument("--corpus", metavar="DIR", help="where inputs found are kept (.work/NAME)")
    parser.add_argument("--fresh", action="store_true", help="start from the committed corpus alone and keep nothing")
    parser.add_argument("--repeat", nargs="+", metavar="FILE", help="run these inputs through the target, plainly")
    parser.add_argument("--minimise", action="store_true", help="write the committed corpus anew")
    parser.add_argument("--totals", action="store_true", help="what each target has had on this machine")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

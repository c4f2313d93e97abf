# SPDX-License-Identifier: MIT
"""A long walk: `python chaos.py --steps 1000 --seed 7` (README.md)."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path


def main() -> int:
    """0 when nothing was violated."""
    for ring in ("", "live"):  # pytest has these on its path already
        sys.path.insert(1, str(Path(__file__).resolve().parent.parent / ring))
    from wandering import Violation, walk

    given = _words()
    began = time.monotonic()
    try:
        found = walk(given.seed, given.steps, given.only)
    except Violation as violation:
        print(f"VIOLATION\n{violation}")
        return 1
    took = time.monotonic() - began
    print(f"seed {given.seed}: {given.steps} steps in {took:.0f} s, {found.calls} calls, 0 violations", end="; ")
    print(f"{len(found.done)} of the {len(found.rows)} kinds of faults")
    return 0


def _words() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--steps", type=int, default=1000)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", default="", help="only faults with this in their name")
    return words.parse_args()


if __name__ == "__main__":
    sys.exit(main())

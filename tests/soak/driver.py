# SPDX-License-Identifier: MIT
"""`python tests/soak/driver.py --minutes 60`: a Strata of its own under mixed load; does anything grow?

Exit code 0 when all is flat, 1 when not; soak.txt, soak.json and soak.svg are in the directory of --report.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

import soak_place
import soak_report
import soak_sample
from soak_book import Book
from soak_load import Load
from soak_place import Place
from soak_report import Outcome

ROOT = Path(__file__).resolve().parents[2]
SETTLED_SECONDS = 60.0


def main(argv: list[str]) -> int:
    """Run it and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--every", type=float, default=0.0, help="seconds between samples; default: by the minutes")
    parser.add_argument("--report", type=Path, default=ROOT / ".cache" / "soak")
    parser.add_argument("--leak", type=int, default=0, help="leave one session in so many open, to see it found")
    given = parser.parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that nothing is left of the Strata
    print(f"{given.minutes:g} min of load, seed {given.seed}", flush=True)
    with soak_place.running() as place:
        outcome = soak(place, given.minutes * 60, given.seed, given.every or max(2.0, given.minutes / 10), given.leak)
        if outcome.failures():
            given.report.mkdir(parents=True, exist_ok=True)
            (given.report / "soak.journal").write_text(
                place.beside("journalctl", "--no-pager", "--output=short-precise")
            )
    soak_report.write(outcome, given.report)
    print(soak_report.text(outcome))
    return 1 if outcome.failures() else 0


def soak(place: Place, seconds: float, seed: int, every: float, leak: int = 0) -> Outcome:
    """The load on that Strata, judged."""
    book = Book()
    load = Load(place, book, seed, leak)
    try:
        load.prime()
        before = _settled(place)
        outcome = Outcome(seconds, _warm_up(seconds), _settling(seconds), book, before, soak_sample.names(place))
        book.begin()

        def watch() -> None:
            at = book.now()
            outcome.samples.append((at, soak_sample.take(place)))
            _progress(outcome, seconds)

        load.run(seconds, watch, every)
        place.node.settle()
        load.guests.sweep()
        outcome.after, outcome.names_after = _settled(place, outcome.before), soak_sample.names(place)
        return outcome
    finally:
        load.end()


def _warm_up(seconds: float) -> float:
    return min(0.35 * seconds, 600.0)


def _settling(seconds: float) -> float:
    return min(0.1 * seconds, 120.0)


def _settled(place: Place, wanted: soak_sample.Sample | None = None) -> soak_sample.Sample:
    """When two counts are alike, and no more than what is wanted: a loop device may still be on its way out."""
    deadline, last = time.monotonic() + SETTLED_SECONDS, soak_sample.take(place)
    while time.monotonic() < deadline:
        time.sleep(2.0)
        now = soak_sample.take(place)
        if _counts(now) == _counts(last) and (not wanted or not _more(now, wanted)):
            return now
        last = now
    return last


def _counts(sample: soak_sample.Sample) -> dict[str, float]:
    return {name: sample[name].value for name in ("processes", "cgroups", "loop devices", "names of units", "jobs")}


def _more(now: soak_sample.Sample, wanted: soak_sample.Sample) -> bool:
    return any(value > _counts(wanted)[name] for name, value in _counts(now).items())


def _progress(outcome: Outcome, seconds: float) -> None:
    at, sample = outcome.samples[-1]
    if len(outcome.samples) % 10 == 1:
        memory = sum(value.value for name, value in sample.items() if name.endswith("own memory"))
        wrong = len(outcome.book.unexpected())
        print(
            f"{at:6.0f} of {seconds:.0f} s: {outcome.book.done(at)} operations, {memory:.0f} MiB, "
            f"{sample['names of units'].value:.0f} units, {wrong} unexpected errors",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

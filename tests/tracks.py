# SPDX-License-Identifier: MIT
"""All rings side by side: `python tests/tracks.py`. Most tests wait more than they compute.

A track is one pytest with the rings that it runs one after another. Each says all when it has ended; the last lines say
how all of them ended. Exits with the worst status.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
LOGS = HERE.parent / ".cache" / "tests"
TRACKS: dict[str, tuple[str, ...]] = {
    "live": ("live/test_[!v]*.py", "audit", "chaos", "soak"),
    "quick": ("pure", "conversation", "fuzz", "nix", "live/test_v*.py", "vm"),
}
"""Rings, or some files of one, by track; so divided that both end at about the same time on two cores, and emulation
begins late. A third track saves two minutes more, and makes the machine so busy that it is that which is tested."""

_SUMMARY = re.compile(r"^=+ (.*) in [0-9.]+s\b.* =+$", re.MULTILINE)
_FAILED = re.compile(r"^(?:FAILED|ERROR) .*$", re.MULTILINE)


class Track(NamedTuple):
    """One that runs, and where it writes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def start(name: str) -> Track:
    """Begin a track. Its words go to a file, so that they are never mixed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{name}.log"
    command = (sys.executable, "-m", "pytest", *(str(path) for path in paths(name)))
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=HERE.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    return Track(name, process, log)


def paths(name: str) -> list[Path]:
    """Directories and files of a track, in order."""
    return [path for pattern in TRACKS[name] for path in sorted(HERE.glob(pattern))]


def summed(summaries: list[str]) -> str:
    """`2 passed, 1 skipped` and `1 passed` in one."""
    counts: Counter[str] = Counter()
    for count, what in re.findall(r"(\d+) (\w+)", ", ".join(summaries)):
        counts[what.removesuffix("s") if what in ("errors", "warnings") else what] += int(count)
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def main() -> int:
    """Run all tracks. A signal ends them as it would end one pytest: each cleans up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    running = {track.process.pid: track for track in map(start, TRACKS)}
    print(f"{len(running)} tracks run side by side; what they say is in {LOGS.relative_to(HERE.parent)}/", flush=True)
    started, said, worst = time.monotonic(), "", 0
    try:
        while running:
            pid, status = os.wait()
            track, code = running.pop(pid), os.waitstatus_to_exitcode(status)
            words = track.log.read_text(encoding="utf-8", errors="replace")
            print(f"\n######## {track.name}: {', '.join(TRACKS[track.name])}: exit status {code}\n{words}", flush=True)
            said, worst = said + words, max(worst, abs(code))
    finally:
        for pid in running:
            os.kill(pid, signal.SIGINT)
        for pid in running:
            os.waitpid(pid, 0)
    print("\n".join(("", *_FAILED.findall(said))))
    print(f"======== {summed(_SUMMARY.findall(said))} in {time.monotonic() - started:.2f}s ========")
    return worst


if __name__ == "__main__":
    sys.exit(main())

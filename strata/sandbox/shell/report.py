# SPDX-License-Identifier: MIT
"""What the shell reports: `NUMBER CODE ERREXIT DIRECTORY`, ended by a NUL, since a directory may hold anything else.

The pipe is closed while a command runs, but what runs in a sandbox is never to be trusted: what is no report is
passed over.
"""

from __future__ import annotations

from typing import NamedTuple

_LONGEST = 65_536
_MOST = 64
"""Reports at once; the shell makes one, and waits. Of a flood the newest are looked at."""


class Report(NamedTuple):
    """The shell is done with line `number`. `errexit`: `set -e` is in force."""

    number: int
    code: int
    errexit: bool
    directory: str


class Reports:
    """Cuts what comes through the pipe into reports."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Report]:
        """Those that `data` completes."""
        *whole, rest = (self._rest + data).rsplit(b"\0", _MOST)
        if len(whole) == _MOST:
            del whole[0]  # what was not cut into records
        self._rest = rest if len(rest) <= _LONGEST else b""
        return [report for record in whole if (report := parse(record))]


def parse(record: bytes) -> Report | None:
    """One report, or None for what is none."""
    parts = record.split(b" ", 3)
    if len(parts) != 4 or not all(part.isdigit() and len(part) < 10 for part in parts[:3]):
        return None
    number, code, errexit = map(int, parts[:3])
    return Report(number, code, errexit == 1, parts[3].decode("utf-8", "replace"))

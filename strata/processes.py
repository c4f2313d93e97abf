# SPDX-License-Identifier: MIT
"""What the kernel tells of a process by its number: /proc/PID/stat (proc(5))."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """A process as it was when asked. `state` is one letter; `cpu_seconds` its own time on a processor, children not
    counted; `start` in clock ticks since boot, which tells it from a later process of that number."""

    state: str
    parent: int
    process_group: int
    cpu_seconds: float
    start: int

    @property
    def dead(self) -> bool:
        """Whether it has ended, and only its parent has not asked about it yet."""
        return self.state in "ZXx"


def stat(pid: int) -> Stat | None:
    """None where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in brackets, may hold anything, brackets too. The fields behind it begin with the third.
    fields = text.rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Stat(fields[0], int(fields[1]), int(fields[2]), ticks / _TICKS, int(fields[19]))

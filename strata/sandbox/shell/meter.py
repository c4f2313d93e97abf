# SPDX-License-Identifier: MIT
"""What one exec cost and left, by the files of the shell's cgroup. They are read so often that they stay open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from strata.sandbox.cgroup import Group

_MOST = 4096


class Meter:
    """Counts from `rebase` on."""

    def __init__(self, group: Group) -> None:
        peak, kills = (
            (group.memory / "memory.max_usage_in_bytes", group.memory / "memory.oom_control")
            if group.memory
            else (group.tree / "memory.peak", group.tree / "memory.events")
        )
        self._processes = _opened(group.tree / "cgroup.procs", os.O_RDONLY)
        self._cpu = _opened(group.tree / "cpu.stat", os.O_RDONLY)
        self._kills = _opened(kills, os.O_RDONLY)
        self._peak = _opened(peak, os.O_RDWR)
        if self._peak < 0:  # cgroup2 before Linux 6.12: it can be read, and never begins anew
            self._peak = _opened(peak, os.O_RDONLY)
        self._cpu_before = self._kills_before = 0
        self.rebase()

    def close(self) -> None:
        """Count no more."""
        for fd in (self._processes, self._cpu, self._kills, self._peak):
            if fd >= 0:
                os.close(fd)
        self._processes = self._cpu = self._kills = self._peak = -1

    def rebase(self) -> None:
        """What was used until now does not count."""
        self._cpu_before, self._kills_before = self._cpu_usec(), _field(self._kills, b"oom_kill ")
        if self._peak >= 0:
            with contextlib.suppress(OSError):  # opened for reading only
                os.pwrite(self._peak, b"0", 0)

    def holds_only(self, pid: int) -> bool:
        """Whether no other process is in the cgroup."""
        return _read(self._processes).strip() in (b"", b"%d" % pid)

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time."""
        return max(0, self._cpu_usec() - self._cpu_before) / 1000

    @property
    def memory_peak(self) -> int | None:
        """Bytes at most, the shell's own included; None where no controller counts them."""
        text = _read(self._peak).strip()
        return int(text) if text.isdigit() else None

    @property
    def oom_kills(self) -> int:
        """Processes that were killed because memory ran out."""
        return _field(self._kills, b"oom_kill ") - self._kills_before

    def _cpu_usec(self) -> int:
        return _field(self._cpu, b"usage_usec ")


def _opened(path: Path, flags: int) -> int:
    """-1 where there is no such counter, or it may not be opened so."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return -1


def _read(fd: int) -> bytes:
    try:
        return os.pread(fd, _MOST, 0) if fd >= 0 else b""
    except OSError:  # ENODEV: the group is gone, and with it what it used
        return b""


def _field(fd: int, name: bytes) -> int:
    _, found, rest = (b"\n" + _read(fd)).partition(b"\n" + name)
    return int(rest.partition(b"\n")[0]) if found else 0

# SPDX-License-Identifier: MIT
"""What the sandboxes of this process are to the machine: processes, memory, mounts, cgroups.

This process is the reaper of all that it begets (prctl(2), PR_SET_CHILD_SUBREAPER): what detaches itself from its
parent stays a descendant, and can be counted and ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

UNITS = "strata-peer-"
"""Units of peers that systemd starts begin with this; their processes are no descendants."""

OWNER = "peers"
"""Of Strata's sessions here; nor are theirs."""

_WORDS = (UNITS, f"strata-sandbox-{OWNER}-")
_PR_SET_CHILD_SUBREAPER = 36


class Trace(NamedTuple):
    """What can be left behind."""

    processes: int
    mounts: int
    cgroups: int

    def more_than(self, other: Trace) -> int:
        return sum(max(0, now - before) for now, before in zip(self, other, strict=True))


def adopt() -> None:
    """Become the reaper of all descendants."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")


def trace() -> Trace:
    """How it looks now."""
    return Trace(len(all_of_them()), _mounts(), sum(len(names) for _, names, _ in os.walk("/sys/fs/cgroup")))


def all_of_them() -> set[int]:
    """Pids of all descendants, and of the units of the peers and of our sessions; the dead are reaped, not counted."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for pid, parent, state in _table():
        if state == "Z":
            if parent == os.getpid():
                _reap(pid)
            continue
        parents[pid] = parent
    for pid in parents:
        if _descends(pid, parents) or any(word in _read(f"/proc/{pid}/cgroup") for word in _WORDS):
            found.add(pid)
    return found


def pss(pids: set[int]) -> int:
    """Bytes; what processes share is divided among all who share it (proc(5))."""
    return sum(_pss(pid) for pid in pids)


def of_units(word: str) -> set[int]:
    """Pids of all processes with a unit of such a name."""
    return {pid for pid, _, state in _table() if state != "Z" and word in _read(f"/proc/{pid}/cgroup")}


def end(pids: set[int]) -> None:
    """Kill what is left over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until_gone(before: Trace, seconds: float) -> int:
    """How much more there is than before, after so long at most."""
    deadline = time.monotonic() + seconds
    while (left := trace().more_than(before)) and time.monotonic() < deadline:
        time.sleep(0.002)
    return left


def without_cgroups(name: str) -> Callable[[object], contextlib.AbstractContextManager[None]]:
    """What removes all cgroups of this name, in every hierarchy, when it is left."""

    @contextlib.contextmanager
    def around(_: object) -> Iterator[None]:
        try:
            yield
        finally:
            for top, names, _ in os.walk("/sys/fs/cgroup"):
                if name in names:
                    _remove(f"{top}/{name}")

    return around


def _remove(cgroup: str) -> None:
    """With all below it; one that is in use stays, and is found by who looks for it."""
    for top, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(top)


def settle(seconds: float = 5.0) -> None:
    """Return when the same processes are there twice, a moment apart, or after so long."""
    deadline, last = time.monotonic() + seconds, all_of_them()
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = all_of_them()
        if now == last:
            return
        last = now


def _descends(pid: int, parents: dict[int, int]) -> bool:
    here = os.getpid()
    while pid := parents.get(pid, 0):
        if pid == here:
            return True
    return False


def _table() -> Iterator[tuple[int, int, str]]:
    """Pid, parent and state of every process (proc(5), stat)."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            words = _read(f"/proc/{entry}/stat").rpartition(")")[2].split()
            if words:
                yield int(entry), int(words[1]), words[0]


def _reap(pid: int) -> None:
    from benchmarks.peers import started  # whoever has a Popen of it waits for it by that

    if pid not in started.PIDS:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _pss(pid: int) -> int:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _mounts() -> int:
    return len(_read("/proc/self/mountinfo").splitlines())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:  # it has just ended
        return ""

# SPDX-License-Identifier: MIT
"""Signals to the processes of a cgroup, and to none that merely has a number one of them had before."""

from __future__ import annotations

import contextlib
import errno
import os
import signal

from strata import processes
from strata.errors import InvalidArgument
from strata.sandbox.cgroup import Group


def number(given: str) -> int:
    """`TERM`, `SIGTERM` or `15`. Raises InvalidArgument."""
    name = given.upper().removeprefix("SIG")
    try:
        found = int(name[:9]) if name.isdecimal() else signal.Signals[f"SIG{name}"].value
    except KeyError:
        found = 0
    if found not in signal.valid_signals():
        raise InvalidArgument(
            f"cannot send {given[:40]!r}: it is no signal; TERM, INT, KILL or a number are", param="signal"
        )
    return found


def name(found: int) -> str:
    """`SIGTERM`; `SIG37` for one without a name."""
    try:
        return signal.Signals(found).name
    except ValueError:
        return f"SIG{found}"


def send(group: Group, found: int, pids: list[int] | None = None) -> int:
    """Send a signal to these processes of the group, or to all in it; to how many."""
    wanted = group.pids() if pids is None else pids
    return sum(_send(group, pid, found) for pid in wanted)


def send_to_program(group: Group, keeper: int, found: int, whole: bool) -> int:
    """Send a signal to the program that the keeper (a pid) waits for, or to its whole process group; to how many."""
    first = [pid for pid in group.pids() if (one := processes.stat(pid)) and one.parent == keeper]
    if not whole:
        return send(group, found, first)
    members = [pid for pid in group.pids() if (one := processes.stat(pid)) and one.process_group in first]
    try:
        return len(members) if any(_send(group, pid, found, _PROCESS_GROUP) for pid in first) else 0
    except OSError as error:
        if error.errno != errno.EINVAL:  # Linux 6.9 has the flag
            raise
        return send(group, found, members)


_PROCESS_GROUP = 1 << 2
"""PIDFD_SIGNAL_PROCESS_GROUP of linux/pidfd.h: one that is just being forked gets it, too, which no list could say."""


def _send(group: Group, pid: int, found: int, flags: int = 0) -> bool:
    with contextlib.suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            if pid in group.pids():  # looked at with the process in hand: now the number is its own
                signal.pidfd_send_signal(pidfd, found, None, flags)
                return True
        finally:
            os.close(pidfd)
    return False

# SPDX-License-Identifier: MIT
"""How a process ended, asked of the kernel by one who holds a pidfd of it and is not its parent.

Until somebody has waited for it, it is a zombie, and its line in /proc tells (proc(5)). Afterwards the pidfd does:
PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15 (linux/pidfd.h). So there is no moment at which nobody knows, whoever
its parent is by then, and be that stopped.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final

_GET_INFO: Final = 0xC040_FF0B  # _IOWR(0xFF, 11, struct pidfd_info), asm-generic/ioctl.h
_INFO: Final = struct.Struct("=Q52xi")  # its first form: mask, what is not asked here, exit_code
_INFO_EXIT: Final = 1 << 3


def status(pid: int, pidfd: int) -> int | None:
    """The wait(2) status of a process that has ended; None when this kernel tells it to its parent alone."""
    if (found := _recorded(pidfd)) is not None:
        return found
    left = _of_zombie(pid)
    # Only now is it certain whose line that was: it may have been waited for meanwhile, and its number be another's.
    return left if _unreaped(pidfd) else _recorded(pidfd)


def are_told() -> bool:
    """Whether this kernel tells how a process ended that somebody else has waited for; tried with one."""
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    try:
        pidfd = os.pidfd_open(pid)
    finally:
        os.waitpid(pid, 0)
    try:
        return _recorded(pidfd) == 3 << 8
    finally:
        os.close(pidfd)


def _recorded(pidfd: int) -> int | None:
    asked = bytearray(_INFO.pack(_INFO_EXIT, 0))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, asked, True)
    except OSError:  # ENOTTY or EINVAL: it knows no such question; ESRCH: it has forgotten
        return None
    known, code = _INFO.unpack(asked)
    return int(code) if known & _INFO_EXIT else None


def _of_zombie(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    # X is one that its parent does not wait for, about to vanish. exit_code is field 52; these begin with the third.
    return int(fields[49]) if fields[0] in (b"Z", b"X") else None


def _unreaped(pidfd: int) -> bool:
    """A pidfd names a process until somebody has waited for it."""
    try:
        with open(f"/proc/self/fdinfo/{pidfd}", "rb") as file:
            return any(line.startswith(b"Pid:") and int(line[4:]) > 0 for line in file)
    except OSError:
        return False

# SPDX-License-Identifier: MIT
"""The one system call of the shell's that Python does not have."""

from __future__ import annotations

import ctypes
import os

_PIDFD_GETFD = 438  # the same on every architecture (syscalls(2))
_libc = ctypes.CDLL(None, use_errno=True)


def pidfd_getfd(pidfd: int, number: int) -> int:
    """A descriptor of another process, duplicated (pidfd_getfd(2)). Raises OSError."""
    found = int(_libc.syscall(_PIDFD_GETFD, pidfd, number, 0))
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot take descriptor {number}: {os.strerror(error)}")
    return found

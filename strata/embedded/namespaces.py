# SPDX-License-Identifier: MIT
"""The few system calls about namespaces and mounts that Python 3.11 does not offer, as functions that raise OSError."""

from __future__ import annotations

import ctypes
import os
import platform

# <linux/sched.h>
NEWNS = 0x00020000
NEWCGROUP = 0x02000000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWPID = 0x20000000

# <linux/mount.h>
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MNT_DETACH = 2
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4

# The same numbers on every machine, as for all calls since Linux 5.1; libc has no wrappers before glibc 2.36.
_OPEN_TREE = 428
_MOVE_MOUNT = 429

# pivot_root has no wrapper in libc; the number is the machine's (syscalls(2)).
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "armv7l": 218, "ppc64le": 203, "s390x": 217}

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones; NEWPID counts for children only (unshare(2))."""
    _check(_libc.unshare(flags), "unshare namespaces")


def setns(fd: int, flags: int) -> None:
    """Enter the namespaces in `flags` of the process a pidfd names, or the one that a namespace fd is (setns(2))."""
    _check(_libc.setns(fd, flags), "enter namespaces")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). The error names the target, the step that a person wants to know."""
    answer = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    _check(answer, f"mount {kind or source} on {target}")


def lift(source: str) -> int:
    """Take a copy of the mounts at and below `source` into a descriptor, to be put down later (open_tree(2)).

    Unlike a path it stays good when the tree it came from is covered or gone.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE
    fd: int = _libc.syscall(ctypes.c_long(_OPEN_TREE), _AT_FDCWD, os.fsencode(source), flags)
    _check(min(fd, 0), f"read the mounts below {source}")
    return fd


def put(fd: int, target: str) -> None:
    """Mount what `lift` took at `target`, and close the descriptor (move_mount(2))."""
    call = ctypes.c_long(_MOVE_MOUNT)
    _check(_libc.syscall(call, fd, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH), f"mount {target}")
    os.close(fd)


def detach(target: str) -> None:
    """Take a mount and all below it out of the tree now; the kernel lets go when its last user does."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def pivot_into(root: str) -> None:
    """Make the mount `root` the root of this mount namespace and let go of the old one.

    Both arguments "." stack the old root on the new one, so no directory is needed for it (pivot_root(2), NOTES).
    """
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise OSError(f"cannot pivot_root: its number on {platform.machine()} is not known")
    os.chdir(root)
    _check(_libc.syscall(ctypes.c_long(number), b".", b"."), f"pivot_root into {root}")
    detach(".")
    os.chdir("/")


def _check(answer: int, what: str) -> None:
    if answer != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot {what}: {os.strerror(error)}")

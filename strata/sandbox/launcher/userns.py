# SPDX-License-Identifier: MIT
"""User namespaces of sessions: root inside is a private range outside (system mode) or the caller (user mode).

user_namespaces(7). A range is mapped by a privileged parent, so a child makes the namespace and is let go once a
descriptor of it is held; a single user is mapped by the process itself.

What a namespace's processes have of the kernel (inotify instances, locked memory, queued signals) is counted against
its owner too, the user who made it (namespaces(7), /proc/sys/user). So the owner of a range is the range's first user:
were it root, one session could use up what root has, and with it systemd's.
"""

from __future__ import annotations

import contextlib
import os

from strata.sandbox.launcher import forking, kernel

RANGE = 65_536
# Of the namespace, for good: nobody inside has CAP_SYS_RESOURCE. None inside it makes another, and not all inotify
# instances of the user who owns it are the session's: user mode has the caller's everything beside it.
_COUNTS = {"max_user_namespaces": 0, "max_inotify_instances": 64}


def of_range(first: int) -> int:
    """A descriptor of a new user namespace in which 0..65535 are `first`..`first`+65535 outside.

    Whoever enters it first has to `bound` it.
    """
    child = forking.pause_in_userns(first)
    try:
        for name in ("uid_map", "gid_map"):
            _write(f"/proc/{child}/{name}", f"0 {first} {RANGE}")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        forking.end_pause(child)
        kernel.set_dumpable(False)  # a change of ids has set it again (prctl(2))


def of_caller() -> None:
    """Move this very process into a new user namespace in which it is root, and nobody else is anybody."""
    uid, gid = os.geteuid(), os.getegid()
    kernel.set_dumpable(True)  # else its own /proc files are root's (proc(5)); no sandbox is there yet to look on
    kernel.unshare(kernel.NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"0 {gid} 1")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    bound()
    kernel.set_dumpable(False)


def bound() -> None:
    """Set the bounds of the user namespace that this process is in, privileged there (/proc/sys/user)."""
    for name, most in _COUNTS.items():
        with contextlib.suppress(FileNotFoundError):  # a kernel without that at all
            _write(f"/proc/sys/user/{name}", str(most))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)

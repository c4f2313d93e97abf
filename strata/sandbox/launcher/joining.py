# SPDX-License-Identifier: MIT
"""Entering a session: its cgroups, then its namespaces, then what can be given up.

The order is the one that leaves nothing to the sandbox: undumpable before anything of it is entered, cgroup files
opened while the host's tree is still there, privileges dropped before the first path of the sandbox is touched.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterable

from strata.sandbox.launcher import channel, forking, kernel

EVERYTHING = (
    kernel.NEWUSER | kernel.NEWNS | kernel.NEWPID | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWCGROUP
)


def namespaces(network: str) -> int:
    """Those of a session, `isolated` or with the `host`'s network: that one every process of Strata is in already, and
    an ordinary user may not enter it again (setns(2))."""
    return EVERYTHING & ~kernel.NEWNET if network == "host" else EVERYTHING


def fork_into(tree: int) -> tuple[int, bool]:
    """As fork(2); and whether the child was born in the cgroup2 directory `tree`, or has to join it still."""
    with contextlib.suppress(OSError):  # the kernel or a filter knows no such fork, or the group is gone: joining tells
        return forking.fork_into(tree), True
    return os.fork(), False


def fork_beside(tree: int | None) -> tuple[int, bool, int | None]:
    """As fork_into, but the child is one of this process's parent, where the kernel and its filters make such: then
    with a pidfd, which in the child is -1. Else it is ours, and there is None."""
    for place in (tree, None):
        with contextlib.suppress(OSError):
            pid, pidfd = forking.fork_beside(place)
            return pid, place is not None, pidfd
    return (*(fork_into(tree) if tree is not None else (os.fork(), False)), None)


def first_process(fd: int) -> int:
    """A pidfd of the session's first process: `fd` is one, or a socket that one comes over as soon as it runs. Raises
    OSError when it never will."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return fd
    with socket.socket(fileno=fd) as room:
        received = channel.receive(room)
    if received is None:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return received[1][0]


def open_cgroups(directories: Iterable[str]) -> list[int]:
    """Descriptors by which a process can join these cgroups, also when it no longer sees the host's tree."""
    return [_open_cgroup(directory) for directory in directories]


def _open_cgroup(directory: str) -> int:
    """In a v1 hierarchy the file of threads: a process with one thread that moves itself there need not wait until
    nobody forks (cgroup_procs_write_start, kernel/cgroup)."""
    try:
        return os.open(f"{directory}/tasks", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def join_cgroups(fds: Iterable[int]) -> None:
    """Move this process; `0` is the writer (cgroups(7))."""
    for fd in fds:
        os.write(fd, b"0")


def enter(pidfd: int, flags: int) -> None:
    """Join these namespaces of a process of the session and become root in there: uid 0 of its user namespace."""
    look_in(pidfd, flags)
    become_root()


def look_in(pidfd: int, flags: int) -> None:
    """Join these namespaces, not that of users among them: nothing of the sandbox may be touched from here on."""
    kernel.set_dumpable(False)
    sys.meta_path.clear()  # what is imported from here on would be the sandbox's code
    kernel.setns(pidfd, flags)


def become_root() -> None:
    """Ids as the user namespace that was entered has them. A range maps group 0; a single user may not set groups."""
    with contextlib.suppress(PermissionError):  # `deny` in a namespace of one user (user_namespaces(7)): there are none
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    kernel.set_dumpable(False)  # a change of ids sets it again (prctl(2))


def give_up() -> None:
    """Root in name only from here on: no capabilities, none to be had by exec."""
    kernel.drop_capabilities()
    kernel.set_no_new_privileges()

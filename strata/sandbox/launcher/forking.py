# SPDX-License-Identifier: MIT
"""Forks that os.fork() cannot make: into a cgroup, and with a user namespace but without a copy of this process."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from typing import Final

from strata.sandbox.launcher import kernel

_CLONE_VM: Final = 0x00000100
_CLONE_PIDFD: Final = 0x00001000
_CLONE_PARENT: Final = 0x00008000
_CLONE_INTO_CGROUP: Final = 0x2_0000_0000
_CLONE_ARGS: Final = struct.Struct("=11Q")  # struct clone_args up to `cgroup`
_CLONE3: Final = 435
_STACK_BYTES: Final = 65_536

_libc = ctypes.CDLL(None, use_errno=True)
# Another handle that keeps the interpreter's lock, as a fork must.
_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_python = ctypes.pythonapi
_stacks: dict[int, object] = {}  # of those that pause


def fork_into(cgroup: int) -> int:
    """fork(2), the child being born in a cgroup2 directory that a descriptor names (clone3(2), Linux 5.7).

    A process that moves to a cgroup waits for every processor to have come by, 10 ms on an idle machine, because the
    kernel locks out all forks meanwhile; being born there takes no time (cgroup_procs_write_start, kernel/cgroup).
    Raises OSError, EPERM where the caller may not put processes there. For a process with one thread.
    """
    return _clone(_CLONE_INTO_CGROUP, 0, signal.SIGCHLD, cgroup)


def fork_beside(cgroup: int | None) -> tuple[int, int]:
    """As fork(2), but the child is one of this process's parent, which is told of its end (clone(2), CLONE_PARENT); and
    a pidfd of it, which the child itself has not. It is born in a cgroup2 directory, if a descriptor names one. Raises
    OSError."""
    place = ctypes.c_int(-1)
    flags = _CLONE_PARENT | _CLONE_PIDFD | (0 if cgroup is None else _CLONE_INTO_CGROUP)
    return _clone(flags, ctypes.addressof(place), 0, cgroup or 0), place.value


def _clone(flags: int, pidfd: int, told_by: int, cgroup: int) -> int:
    """`pidfd` is where the kernel writes one, or 0; `told_by` the signal that tells of the end (clone3(2))."""
    arguments = _CLONE_ARGS.pack(flags, pidfd, 0, 0, told_by, 0, 0, 0, 0, 0, cgroup)
    _python.PyOS_BeforeFork()
    pid: int = _syscall(_CLONE3, arguments, ctypes.c_size_t(_CLONE_ARGS.size))
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    error = ctypes.get_errno()
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, f"cannot fork: {os.strerror(error)}")
    return pid


def pause_in_userns(owner: int) -> int:
    """Pid of a new child that does nothing, in a new user namespace that belongs to a user (and group) of ours.

    It shares our memory, so nothing has to be copied for it, and runs nothing of it but pause(2) on a stack of its
    own. Kill it and wait for it. Needs root's capabilities.
    """
    stack = ctypes.create_string_buffer(_STACK_BYTES)
    top = (ctypes.addressof(stack) + _STACK_BYTES) & ~0xF
    kernel.keep_capabilities(True)
    os.setresgid(-1, owner, -1)
    os.setresuid(-1, owner, -1)
    try:
        flags = _CLONE_VM | kernel.NEWUSER | signal.SIGCHLD
        pid: int = _libc.clone(_libc.pause, ctypes.c_void_p(top), flags, None)
        error = ctypes.get_errno()
    finally:
        os.setresuid(-1, 0, -1)
        os.setresgid(-1, 0, -1)
        kernel.keep_capabilities(False)
    if pid < 0:
        raise OSError(error, f"cannot make a user namespace: {os.strerror(error)} (see user.max_user_namespaces)")
    _stacks[pid] = stack
    return pid


def end_pause(pid: int) -> None:
    """Kill a child of `pause_in_userns` and wait for its end; the namespace lives on by its descriptors."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    del _stacks[pid]

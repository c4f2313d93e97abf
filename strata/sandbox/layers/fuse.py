# SPDX-License-Identifier: MIT
"""The overlay by fuse-overlayfs, a process of the session's that is root inside and nobody outside.

The mount is the host's, because a FUSE file system of a user namespace is closed even to the host's root
(fuse_allow_current_process), and there is more to be mounted on it. The process that serves it has entered the
session's user namespace: it sees the layers as root inside does, and is told how the ids there read on the host.
libfuse serves a descriptor that is mounted already when it is told `/dev/fd/N` as the place (fuse_session_mount).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NoReturn

from strata import programs
from strata.sandbox.launcher import joining, kernel
from strata.sandbox.launcher.userns import RANGE
from strata.sandbox.layers.plan import ROOT, STAGE, Plan

_DEVICE = "/dev/fuse"
_MOUNT = "rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"


def _device() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        mend = "load the kernel module fuse" if error.errno != errno.EACCES else "it is closed to this user"
        raise FileNotFoundError(errno.ENOENT, f"cannot open {_DEVICE}: {error.strerror}; {mend}") from error


def mount(plan: Plan, lowers: Sequence[str], userns: int | None) -> int:
    """Mount an overlay of the layers at the stage on its root. The pid of fuse-overlayfs, which ends with the mount."""
    path = programs.required("fuse-overlayfs", "fuse-overlayfs")
    device = _device()
    try:
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("fuse-overlayfs", ROOT, "fuse.fuse-overlayfs", flags, f"fd={device},{_MOUNT}")
        child = os.fork()
        if child == 0:
            _serve([path, "-f", "-o", _options(plan, lowers), f"/dev/fd/{device}"], device, userns)
    finally:
        os.close(device)
    try:
        os.stat(ROOT)  # answered by the process: it serves, or its end closes the file system
    except OSError as error:
        kernel.umount2(ROOT, kernel.MNT_DETACH)
        raise OSError(error.errno, f"fuse-overlayfs does not serve: {error.strerror}") from error
    return child


def _options(plan: Plan, lowers: Sequence[str]) -> str:
    options = f"lowerdir={':'.join(lowers)},upperdir=upper/upper,workdir=upper/work"
    if plan.mapped:
        ids = f"0:{plan.uid_base}:{RANGE}"
        options += f",uidmapping={ids},gidmapping={ids}"
    return options


def _serve(argv: list[str], device: int, userns: int | None) -> NoReturn:
    try:
        # A tree without the mount: else it would live as long as the process that waits for its end.
        kernel.unshare(kernel.NEWNS)
        kernel.umount2(ROOT, kernel.MNT_DETACH)
        os.chdir(STAGE)
        if userns is not None:
            kernel.act_as(0, 0, False)
            kernel.setns(userns, kernel.NEWUSER)
            joining.become_root()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        kernel.close_all_but([0, 1, 2, device])
        os.set_inheritable(device, True)
        os.execve(argv[0], argv, {})  # noqa: S606  an argument vector, no shell
    finally:
        os._exit(1)

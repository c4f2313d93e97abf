# SPDX-License-Identifier: MIT
"""The layers of a session that lives, as they are on disk, for work from outside: what changed, copies, snapshots.

Bubblewrap's outer process keeps the mount namespace in which the root was built. A worker takes a copy of that
namespace, so it sees the one file system that the session writes to, and nothing it mounts is seen by anybody.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from strata import processes
from strata.sandbox.launcher import joining, kernel
from strata.sandbox.layers import image
from strata.sandbox.layers.plan import DISK, LOWER, MARK, STAGE, Plan, lowers_of, read

# linux/fs.h
_FREEZE = 0xC0045877
_THAW = 0xC0045878


class View(NamedTuple):
    """Directories: the upper layer with ids as inside, all below it as one tree, where root is `lower_root`.

    `image` is the disk's path on the host, or nothing when the disk is in memory. `writes` says how the overlay notes
    what is gone: kernel, kernel-user, fuse, or none when there is no overlay but the home alone.
    """

    upper: str
    lower: str
    lower_root: int
    disk: str
    image: str
    writes: str


@contextlib.contextmanager
def mounted(raw: dict[str, Any], init_pid: int) -> Iterator[View]:
    """See the layers of the session whose first process inside is `init_pid`, on the host. `raw` is its root's plan.

    The caller is a process of its own, single-threaded and privileged on the host, and leaves its mount and, in user
    mode, user namespace for good. Raises OSError when the session has ended.
    """
    plan = read(raw)
    _enter(plan, init_pid)
    lowers = [name for name in lowers_of(plan) if name != "places"]
    lower = f"{STAGE}/{lowers[0]}" if len(lowers) == 1 else _merged(lowers, plan.mapped)
    disk_image = "" if not os.path.exists(path := f"{plan.directory}/{image.NAME}") else path
    writes = "kernel-user" if plan.driver == "kernel" and not plan.mapped else plan.driver
    yield View(f"{DISK}/upper", lower, plan.uid_base, DISK, disk_image, writes)


def _enter(plan: Plan, init_pid: int) -> None:
    outer = os.pidfd_open(_parent(init_pid))
    try:
        kernel.setns(outer, kernel.NEWNS | (0 if plan.mapped else kernel.NEWUSER))
    finally:
        os.close(outer)
    try:
        whose = os.readlink(MARK)
    except FileNotFoundError:
        whose = ""
    if whose != plan.directory:  # the process is another one by now
        raise ProcessLookupError(errno.ESRCH, "cannot see the layers of the session: it has ended")
    if not plan.mapped:
        joining.become_root()
    kernel.unshare(kernel.NEWNS)
    kernel.make_private()


def _parent(pid: int) -> int:
    found = processes.stat(pid)
    if found is None:
        raise ProcessLookupError(errno.ESRCH, "cannot see the layers of the session: it has ended")
    return found.parent


def _merged(lowers: list[str], mapped: bool) -> str:
    here = os.open(".", os.O_PATH | os.O_CLOEXEC)
    os.chdir(STAGE)
    try:
        # In a user namespace layers say in user.* attributes which of their directories are opaque.
        options = f"lowerdir={':'.join(lowers)}" + ("" if mapped else ",userxattr")
        kernel.mount("overlay", LOWER, "overlay", kernel.MS_RDONLY, options)
    finally:
        os.fchdir(here)
        os.close(here)
    return LOWER


@contextlib.contextmanager
def still(view: View) -> Iterator[None]:
    """While inside, nobody can write to the disk, and its image holds all that was written before.

    A process that is killed in here leaves the disk frozen: `thaw` it then.
    """
    fd = os.open(view.disk, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _FREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(fd, _THAW, 0)
    finally:
        os.close(fd)


def thaw(view: View) -> bool:
    """Let the disk be written to again; whether it was frozen."""
    fd = os.open(view.disk, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _THAW, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is not frozen
            return False
        raise
    finally:
        os.close(fd)
    return True


def save_image(view: View, target: int) -> None:
    """Copy the disk's image, as of one moment, into the empty file `target`; it can then be a layer of others."""
    source = os.open(view.image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with still(view):
            image.copy_data(source, target)
    finally:
        os.close(source)

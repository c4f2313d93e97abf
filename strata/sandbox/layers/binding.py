# SPDX-License-Identifier: MIT
"""Bring a tree of the host into a root: read-only or not, its owners shown as those of the session's users."""

from __future__ import annotations

import errno
import os
import stat

from strata.sandbox.launcher import kernel

SAFE = kernel.ATTR_NOSUID | kernel.ATTR_NODEV
READ_ONLY = SAFE | kernel.ATTR_RDONLY


def bind(source: str, target: str, userns: int | None, attributes: int = READ_ONLY) -> None:
    """Mount the tree at `source` at `target`, without what is mounted below it where that can be left out.

    With a user namespace, id n of the files is n in there, so host root's files are those of root inside. Raises
    OSError EINVAL where the file system does not know how (mount_setattr(2) has the list).
    """
    fd, recursive = _copied(source)
    try:
        if userns is None:
            kernel.mount_setattr(fd, attributes, recursive)
        else:
            _idmap(fd, source, userns, attributes)
        kernel.move_mount(fd, place(target))
    finally:
        os.close(fd)


def _copied(source: str) -> tuple[int, bool]:
    """A copy of the mount, and whether what is mounted below it is in there too: in user mode a mount of the machine's
    comes with all that lies on it or not at all (mount_namespaces(7))."""
    try:
        return kernel.open_tree(source), False
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return kernel.open_tree(source, recursive=True), True


def _idmap(fd: int, source: str, userns: int, attributes: int) -> None:
    try:
        kernel.idmap(fd, userns, attributes)
    except OSError as error:
        why = (
            "its file system has no ID-mapped mounts" if error.errno == errno.EINVAL else os.strerror(error.errno or 0)
        )
        raise OSError(error.errno, f"cannot map the owners of {source}: {why}") from error


def tmpfs(target: str, options: str, flags: int = kernel.MS_NOSUID | kernel.MS_NODEV) -> None:
    """A new tmpfs at `target`."""
    kernel.mount("tmpfs", place(target), "tmpfs", flags, options)


def place(target: str) -> str:
    """`target`, if it is a directory of its own. A base tree may hold a link there, which would lead out of it."""
    if not stat.S_ISDIR(os.lstat(target).st_mode):
        raise OSError(errno.ENOTDIR, f"cannot mount on {target}: it must be a directory", target)
    return target

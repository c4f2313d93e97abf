# SPDX-License-Identifier: MIT
"""Opening a capability's prefix: each call anew, so that a renamed directory is not served from its old place (2 µs).

We may see files that the owner of the prefix may not. So a symbolic link in the prefix is followed only where nobody
but root or ourselves could have put it: `/home` → `/var/home` is, a link that a user swaps in for his shared directory
is not. Below an ancestor's prefix (an attenuated capability) no link is followed at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from strata import files
from strata.errors import PermissionDenied

_DIRECTORY = os.O_PATH | os.O_DIRECTORY
_MOST_LINKS = 40  # as the kernel's own limit, path_resolution(7)


class Place(NamedTuple):
    """A path below a prefix: `root` as issued, `rest` what attenuation added to it, `path` what the caller asks for."""

    root: str
    rest: str
    path: str

    @property
    def prefix(self) -> str:
        """The whole prefix."""
        return os.path.normpath(os.path.join(self.root, self.rest))

    @property
    def full(self) -> str:
        """The absolute path that the caller means."""
        return os.path.normpath(os.path.join(self.prefix, self.path))


@contextlib.contextmanager
def opened(place: Place, cached: int) -> Iterator[int]:
    """An O_PATH descriptor of the prefix. `cached` is files.CACHED or 0; with it EAGAIN says that the disk is needed.

    Raises OSError, or PermissionDenied when a link in the prefix is not to be trusted.
    """
    root = _root(place, cached)
    try:
        if place.rest == ".":
            yield root
            return
        flags = files.BENEATH | files.NO_SYMLINKS | cached
        below = _refusing_links(place, root, os.fsencode(place.rest), flags)
        try:
            yield below
        finally:
            os.close(below)
    finally:
        os.close(root)


def _root(place: Place, cached: int) -> int:
    try:
        return files.openat2(files.AT_FDCWD, os.fsencode(place.root), _DIRECTORY, files.NO_SYMLINKS | cached)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    if cached:  # rare, and many steps: not on the event loop
        raise BlockingIOError(errno.EAGAIN, "a link in the prefix")
    return _walk(place)


def _refusing_links(place: Place, at: int, path: bytes, resolve: int) -> int:
    try:
        return files.openat2(at, path, _DIRECTORY, resolve)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _untrusted(place) from error
        raise


def _walk(place: Place) -> int:
    """The root, component by component, following only links that are to be trusted."""
    here, safe, links = os.open("/", _DIRECTORY), True, 0
    todo = _parts(place.root)
    try:
        while todo:
            safe = safe and _only_ours(os.fstat(here))
            there = files.openat2(here, os.fsencode(todo.pop(0)), os.O_PATH | os.O_NOFOLLOW, files.NO_MAGICLINKS)
            status = os.fstat(there)
            if not stat.S_ISLNK(status.st_mode):
                os.close(here)
                here = there
                continue
            target = _target(there)
            links += 1
            if not safe or status.st_uid not in (0, os.geteuid()) or links > _MOST_LINKS:
                raise _untrusted(place)
            if target.startswith("/"):
                os.close(here)
                here = os.open("/", _DIRECTORY)
            todo = _parts(target) + todo
        return os.open(f"/proc/self/fd/{here}", _DIRECTORY | os.O_CLOEXEC)  # ENOTDIR when it ends in a file
    finally:
        os.close(here)


def _target(link: int) -> str:
    try:
        return os.readlink("", dir_fd=link)
    finally:
        os.close(link)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part and part != "."]


def _only_ours(directory: os.stat_result) -> bool:
    """Whether nobody but root and ourselves can replace what root put into it (sticky directories: inode(7))."""
    mode = directory.st_mode
    return directory.st_uid in (0, os.geteuid()) and (not mode & 0o022 or bool(mode & stat.S_ISVTX))


def _untrusted(place: Place) -> PermissionDenied:
    return PermissionDenied(
        f"path_prefix {place.prefix} leads through a symbolic link that others could change; use its real path"
    )

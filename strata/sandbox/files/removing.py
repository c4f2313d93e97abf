# SPDX-License-Identifier: MIT
"""Removing, with what is below if asked for: no link followed, no path built, however deep or busy the tree is."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import time
from typing import Any, Final

from strata.errors import Conflict, Unavailable
from strata.sandbox.files import places
from strata.sandbox.files.refusals import Reasons, telling
from strata.sandbox.files.walk import Descent

SECONDS: Final = 30.0
"""One call works for so long; the next one goes on where it stopped."""

_REMOVING: Final[Reasons] = {
    errno.ENOTEMPTY: (Conflict, "the directory is not empty; ask for `recursive` to remove what is in it"),
    errno.EBUSY: (Conflict, "something is mounted there"),
}


def remove(arguments: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
    """Remove a file, a link, an empty directory, or with `recursive` a tree. {path, removed: how many}."""
    place = places.path(arguments)
    with telling(f"remove {places.shown(place)}", _REMOVING), places.parent(place) as (directory, name):
        removed = 1
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=directory)
        elif arguments.get("recursive"):
            removed = _remove_tree(directory, name, place, time.monotonic() + SECONDS)
        else:
            os.rmdir(name, dir_fd=directory)
    return places.named(place, "path") | {"removed": removed}


def erase(path: os.PathLike[str]) -> None:
    """Remove a tree of Strata's own, in which nobody else is, however long it takes; none is there: fine."""
    above, name = os.path.split(os.fsencode(path))
    try:
        directory = os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            _remove_tree(directory, name, name, math.inf)
    finally:
        os.close(directory)


def _remove_tree(directory: int, name: bytes, place: bytes, deadline: float) -> int:
    """How many were removed below, and the directory itself."""
    removed = 0
    with Descent(directory) as way:
        way.enter(name)
        while True:
            count, full = _clear(way.fd, deadline)
            removed += count
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"cannot remove {places.shown(place)} in one go; call again to go on", removed=removed
                )
            if full is not None:
                way.enter(full)
                continue
            left = way.leave()
            if _rmdir(way.fd, left):
                removed += 1
                if not way.names:
                    return removed
            else:
                way.enter(left)  # something new has come while it was being cleared


def _clear(fd: int, deadline: float) -> tuple[int, bytes | None]:
    """Remove all of a directory up to the first directory in it that is not empty. How many; which that is."""
    removed = 0
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                if not _rmdir(fd, name):
                    return removed, name
            else:
                with contextlib.suppress(FileNotFoundError):  # by another, meanwhile
                    os.unlink(name, dir_fd=fd)
            removed += 1
            if time.monotonic() > deadline:
                break
    return removed, None


def _rmdir(fd: int, name: bytes) -> bool:
    try:
        os.rmdir(name, dir_fd=fd)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True

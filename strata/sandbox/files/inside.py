# SPDX-License-Identifier: MIT
"""Small work on a session's files: stat, list, mkdir, move. Runs in a worker whose / is the sandbox's."""

from __future__ import annotations

import base64
import binascii
import errno
import heapq
import json
import os
import stat as modes
from collections.abc import Iterator
from typing import Any, Final

from strata.errors import Conflict, InvalidArgument
from strata.sandbox.files import kernel, places
from strata.sandbox.files.refusals import Reasons, telling

PAGE_NAMES: Final = 16_384
PAGE_BYTES: Final = 524_288
"""Bounds of one answer; the rest comes with the next call."""

_MOVING: Final[Reasons] = {
    errno.EXDEV: (Conflict, "the two lie on different file systems, or it is a directory of the base; run mv inside"),
    errno.EINVAL: (InvalidArgument, "a directory cannot go into itself"),
    errno.ENOTDIR: (Conflict, "what is there is no directory"),
    errno.EISDIR: (Conflict, "a directory is there"),
    errno.ENOTEMPTY: (Conflict, "a directory that is not empty is there"),
}


def stat(arguments: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
    """What the path names, a link itself and not where it leads: places.status, uid, gid, links; target of a link."""
    place = places.path(arguments)
    with telling(f"stat {places.shown(place)}"), places.found(place, follow=False) as (fd, found):
        told = places.named(place, "path") | places.status(found)
        told |= {"uid": found.st_uid, "gid": found.st_gid, "links": found.st_nlink}
        if modes.S_ISLNK(found.st_mode):
            told |= places.named(os.readlink(b"", dir_fd=fd), "target")
        return told


def listing(arguments: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
    """{path, entries sorted by the bytes of their names, next?}: `cursor` takes what `next` said."""
    place = places.path(arguments)
    after = _after(arguments.get("cursor"))
    with telling(f"list {places.shown(place)}"):
        fd = places.open_directory(place)
        try:
            entries, last = _page(fd, after)
        finally:
            os.close(fd)
    told: dict[str, Any] = places.named(place, "path") | {"entries": entries}
    return told if last is None else told | {"next": base64.b64encode(last).decode("ascii")}


def _page(fd: int, after: bytes) -> tuple[list[dict[str, Any]], bytes | None]:
    """Entries behind `after`, and the last name when they are not all."""
    names = heapq.nsmallest(PAGE_NAMES + 1, (name for name in _names(fd) if name > after))
    entries: list[dict[str, Any]] = []
    budget, last = PAGE_BYTES, after
    for name in names[:PAGE_NAMES]:
        if entry := _entry(fd, name):
            budget -= len(json.dumps(entry)) + 1
            if budget < 0:
                return entries, last
            entries.append(entry)
        last = name
    return entries, last if len(names) > PAGE_NAMES else None


def _names(fd: int) -> Iterator[bytes]:
    with os.scandir(fd) as found:
        for entry in found:
            yield os.fsencode(entry.name)


def _entry(fd: int, name: bytes) -> dict[str, Any] | None:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        target = os.readlink(name, dir_fd=fd) if modes.S_ISLNK(found.st_mode) else None
    except FileNotFoundError:
        return None  # removed since the directory was read
    except OSError as error:
        if error.errno != errno.EINVAL:  # a link a moment ago, and something else now
            raise
        return None
    told = places.named(name) | places.status(found)
    return told if target is None else told | places.named(target, "target")


def _after(cursor: str | None) -> bytes:
    try:
        return base64.b64decode(cursor or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("cannot use the cursor: give back what `next` said", param="cursor") from error


def mkdir(arguments: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
    """Make a directory; with `parents` those above it too, and one that is there already is well."""
    place = places.path(arguments)
    parents = bool(arguments.get("parents"))
    with telling(f"make the directory {places.shown(place)}"):
        made = False
        for prefix in _prefixes(place) if parents else [place]:
            made = _make(prefix, arguments.get("mode", 0o755), existing=parents)
    return places.named(place, "path") | {"created": made}


def _prefixes(place: bytes) -> Iterator[bytes]:
    """/a, /a/b, /a/b/c. What ends in `.` or `..` has been made by then."""
    parts = [part for part in place.split(b"/") if part]
    for count, part in enumerate(parts, 1):
        if part not in (b".", b".."):
            yield b"/" + b"/".join(parts[:count])


def _make(place: bytes, mode: int, existing: bool) -> bool:
    if existing and _is_directory(place):
        return False
    with places.parent(place) as (directory, name):
        try:
            os.mkdir(name, mode, dir_fd=directory)
        except FileExistsError:
            if existing and _is_directory(place):  # made by another between our two looks
                return False
            raise
    return True


def _is_directory(place: bytes) -> bool:
    try:
        with places.found(place) as (_, found):
            return modes.S_ISDIR(found.st_mode)
    except FileNotFoundError:
        return False


def move(arguments: dict[str, Any], _fds: list[int]) -> dict[str, Any]:
    """rename(2): atomic; replaces a file, or an empty directory by a directory, unless `replace` is false."""
    source, target = places.path(arguments, "from"), places.path(arguments, "to")
    doing = f"move {places.shown(source)} to {places.shown(target)}"
    flags = 0 if arguments.get("replace", True) else kernel.RENAME_NOREPLACE
    with (
        telling(doing, _MOVING),
        places.parent(source) as (directory, name),
        places.parent(target) as (to_directory, to_name),
    ):
        kernel.rename(directory, name, to_directory, to_name, flags)
    return places.named(source, "from") | places.named(target, "to")

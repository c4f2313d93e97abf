# SPDX-License-Identifier: MIT
"""Telling what happens to a file, a directory or a whole tree, as it happens: inotify(7), no polling.

A file is watched through its directory, so that a file which is replaced, as editors do, is still watched.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from strata import files
from strata.errors import InvalidArgument, ResourceExhausted
from strata.sandbox.files import kernel, places
from strata.sandbox.files.refusals import telling

MOST_DIRECTORIES: Final = 4096
"""Directories of one watch; the kernel's own bound is per user, fs.inotify.max_user_watches."""

_MASK: Final = (
    kernel.IN_CREATE
    | kernel.IN_DELETE
    | kernel.IN_MODIFY
    | kernel.IN_ATTRIB
    | kernel.IN_MOVED_FROM
    | kernel.IN_MOVED_TO
    | kernel.IN_DELETE_SELF
    | kernel.IN_MOVE_SELF
    | kernel.IN_ONLYDIR
    | kernel.IN_EXCL_UNLINK
)
_WORDS: Final = {
    kernel.IN_CREATE: "created",
    kernel.IN_MOVED_TO: "created",
    kernel.IN_MODIFY: "modified",
    kernel.IN_ATTRIB: "attributes",
    kernel.IN_DELETE: "removed",
    kernel.IN_MOVED_FROM: "removed",
}
_ENDS: Final = kernel.IN_DELETE_SELF | kernel.IN_MOVE_SELF | kernel.IN_UNMOUNT
_EVENT: Final = struct.Struct("iIII")
_BUFFER: Final = 65_536
_PAIR_MS: Final = 20  # between the two halves of a move; the kernel writes them one after the other


_UNWATCHED: Final = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)
"""Below the top: it is gone, another thing now, closed to root inside, or too deep to have a path."""


class _Raw(NamedTuple):
    """struct inotify_event, the name without its padding."""

    watch: int
    mask: int
    cookie: int
    name: bytes


def watch(arguments: dict[str, Any], fds: list[int]) -> Iterator[dict[str, Any]]:
    """{event, path, from?, kind?}: first `watching`; then created, modified, attributes, removed, moved, overflow;
    last `ended`, when the watched directory itself is gone.

    `recursive` takes in every directory below, also new ones. With a descriptor, ends when its other end is closed.
    """
    place = places.path(arguments)
    recursive = bool(arguments.get("recursive"))
    with telling(f"watch {places.shown(place)}"), _Watch(*_root(place), recursive, until=fds) as watching:
        yield places.named(place, "path") | {"event": "watching", "directories": len(watching.paths)}
        yield from watching.events()


def _root(place: bytes) -> tuple[bytes, bytes | None]:
    """The directory to watch, and the name in it if it is a file that was asked for."""
    with places.found(place) as (fd, found):
        places.stored(place, fd)
        if stat.S_ISDIR(found.st_mode):
            return place.rstrip(b"/") or b"/", None
        if not stat.S_ISREG(found.st_mode):
            raise InvalidArgument(f"cannot watch {places.shown(place)}: it is a {files.kind(found.st_mode)}")
    directory, name = os.path.split(place)
    return directory, name


class _Watch:
    """An inotify instance and what its watches are called."""

    def __init__(self, root: bytes, only: bytes | None, recursive: bool, until: list[int]) -> None:
        self.root, self.only, self.recursive = root, only, recursive and only is None
        self.paths: dict[int, bytes] = {}
        self._told: set[tuple[int, bytes]] = set()  # found while a new directory was taken in; their event comes late
        self._departed: _Raw | None = None  # the first half of a move
        self._poll = select.poll()
        for fd in until:
            self._poll.register(fd, 0)  # POLLHUP and POLLERR are always told (poll(2))
        self._fd = kernel.inotify()

    def __enter__(self) -> _Watch:
        self._poll.register(self._fd, select.POLLIN)
        try:
            for _ in self._take_in(self.root):
                pass  # what was there before is no news
            self._told.clear()
        except BaseException:
            os.close(self._fd)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def events(self) -> Iterator[dict[str, Any]]:
        """Until the watched directory is gone, or the caller is."""
        while True:
            ready = self._poll.poll(_PAIR_MS if self._departed else None)
            if not ready and self._departed:
                yield from self._departure()
            if any(fd != self._fd for fd, _ in ready):
                return
            last: dict[str, Any] | None = None
            for told in self._batch():
                if told != last:  # many writes are one change
                    yield told
                if told["event"] == "ended":
                    return
                last = told
            if not self._poll.poll(0):
                self._told.clear()

    def _batch(self) -> Iterator[dict[str, Any]]:
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return
        for raw in _parse(data):
            yield from self._handle(raw)

    def _handle(self, raw: _Raw) -> Iterator[dict[str, Any]]:
        if raw.mask & kernel.IN_OVERFLOW:
            yield self._tell("overflow", self.root)
            yield from self._take_in(self.root)
        elif raw.mask & kernel.IN_IGNORED:
            self.paths.pop(raw.watch, None)
        elif raw.mask & _ENDS:
            if self.paths.get(raw.watch) == self.root:
                yield self._tell("ended", self.root)
        elif raw.watch in self.paths and self.only in (None, raw.name):
            yield from self._change(raw)

    def _change(self, raw: _Raw) -> Iterator[dict[str, Any]]:
        departed = self._departed
        if departed and raw.mask & kernel.IN_MOVED_TO and raw.cookie == departed.cookie:
            self._departed = None
            yield from self._moved(departed, raw)
            return
        yield from self._departure()
        if raw.mask & kernel.IN_MOVED_FROM:
            self._departed = raw
        elif not self._is_told(raw):
            yield self._tell(_word(raw.mask), self._path(raw), raw.mask)
            if raw.mask & kernel.IN_ISDIR and raw.mask & (kernel.IN_CREATE | kernel.IN_MOVED_TO) and self.recursive:
                yield from self._take_in(self._path(raw))

    def _is_told(self, raw: _Raw) -> bool:
        return bool(raw.mask & kernel.IN_CREATE) and (raw.watch, raw.name) in self._told

    def _moved(self, departed: _Raw, arrived: _Raw) -> Iterator[dict[str, Any]]:
        before, after = self._path(departed), self._path(arrived)
        if arrived.mask & kernel.IN_ISDIR:
            for number, path in self.paths.items():
                if path == before or path.startswith(before + b"/"):
                    self.paths[number] = after + path[len(before) :]
        yield self._tell("moved", after, arrived.mask) | places.named(before, "from")

    def _departure(self) -> Iterator[dict[str, Any]]:
        """A first half whose second half did not come: it left what we watch."""
        departed, self._departed = self._departed, None
        if departed is None:
            return
        path = self._path(departed)
        for number in [n for n, known in self.paths.items() if known == path or known.startswith(path + b"/")]:
            del self.paths[number]  # the watch itself stays in the kernel until its directory goes; it is not heard
        yield self._tell("removed", path, departed.mask)

    def _path(self, raw: _Raw) -> bytes:
        directory = self.paths.get(raw.watch, self.root)
        return os.path.join(directory, raw.name) if raw.name else directory

    def _take_in(self, top: bytes) -> Iterator[dict[str, Any]]:
        """Watch a directory and, if recursive, those below; tells what is in there already."""
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            number = self._add(directory)
            if number is None or not self.recursive:
                continue
            for name, is_directory in _content(directory):
                path = os.path.join(directory, name)
                self._told.add((number, name))
                yield self._tell("created", path, kernel.IN_ISDIR if is_directory else 0)
                if is_directory:
                    waiting.append(path)

    def _add(self, directory: bytes) -> int | None:
        """Its watch, or None when it is gone or another thing now."""
        if len(self.paths) >= MOST_DIRECTORIES:
            why = f"there are more than {MOST_DIRECTORIES} directories; watch a part of them"
            raise ResourceExhausted(f"cannot watch {places.shown(self.root)}: {why}")
        nofollow = kernel.IN_DONT_FOLLOW if directory != self.root else 0
        try:
            number = kernel.add_watch(self._fd, directory, _MASK | nofollow)
        except OSError as error:
            if directory != self.root and error.errno in _UNWATCHED:
                return None
            if error.errno == errno.ENOSPC:
                raise ResourceExhausted("cannot watch: fs.inotify.max_user_watches are in use") from error
            raise
        self.paths[number] = directory
        return number

    def _tell(self, event: str, path: bytes, mask: int = 0) -> dict[str, Any]:
        told: dict[str, Any] = {"event": event} | places.named(path, "path")
        return told | {"directory": True} if mask & kernel.IN_ISDIR else told


def _parse(data: bytes) -> Iterator[_Raw]:
    start = 0
    while start < len(data):
        number, mask, cookie, length = _EVENT.unpack_from(data, start)
        start += _EVENT.size
        yield _Raw(number, mask, cookie, data[start : start + length].rstrip(b"\0"))
        start += length


def _word(mask: int) -> str:
    return next(word for bit, word in _WORDS.items() if mask & bit)


def _content(directory: bytes) -> Iterator[tuple[bytes, bool]]:
    try:
        fd = places.resolve(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
    except OSError:
        return  # gone, or another thing now
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                yield os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)
    finally:
        os.close(fd)

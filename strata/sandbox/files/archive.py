# SPDX-License-Identifier: MIT
"""A tree as a tar archive: all of a session's root, a path of it, or what a session has changed.

Changes are written as layers of container images are (OCI image layer specification, "Whiteouts"): what is gone is an
empty file `.wh.NAME`, a directory that hides all below it has `.wh..wh..opq` in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from strata.sandbox.files import compare, overlay
from strata.sandbox.files.compare import Status
from strata.sandbox.files.overlay import Marks
from strata.sandbox.files.tarring import Archive, Member, is_archived
from strata.sandbox.files.walk import Descent


class Choice(NamedTuple):
    """How to read a tree. `marks`: it is an upper layer. `uid_base`: who root inside is here."""

    attributes: bool = False
    marks: Marks | None = None
    uid_base: int = 0


class Left(NamedTuple):
    """What an archive could not have as it was: files that changed while they were read; sockets and the like."""

    changed: int = 0
    skipped: int = 0


def write_tree(archive: Archive, top: int, choice: Choice) -> Left:
    """The open directory `top`, as `.`, and all below it. What is mounted there is not gone into."""
    writer = _Writer(archive, choice, os.fstat(top).st_dev)
    with Descent(top) as way:
        writer.directory(way.fd, b".")
        levels = [_names(way.fd)]
        while levels:
            name = next(levels[-1], None)
            if name is None:
                levels.pop()
                if levels:
                    way.leave()
            elif writer.entry(way.fd, b"/".join((*way.names, name)), name):
                way.enter(name)
                writer.opaque(way.fd, b"/".join(way.names))
                levels.append(_names(way.fd))
    return Left(writer.changed, writer.skipped)


def write_one(archive: Archive, directory: int, name: bytes, choice: Choice) -> Left:
    """A single name that is no directory."""
    writer = _Writer(archive, choice, 0)
    writer.entry(directory, name, name)
    return Left(writer.changed, writer.skipped)


def _names(fd: int) -> Iterator[bytes]:
    return iter(sorted(os.fsencode(name) for name in os.listdir(fd)))


class _Writer:
    """Entries of one archive, and which files were in it already under other names."""

    def __init__(self, archive: Archive, choice: Choice, device: int) -> None:
        self.archive, self.choice, self.device = archive, choice, device
        self.changed = self.skipped = 0
        self._seen: dict[tuple[int, int], bytes] = {}

    def entry(self, directory: int, path: bytes, name: bytes) -> bool:
        """Write one name; true for a directory, to be gone into. What is gone meanwhile is left out."""
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            status = compare.own(found, self.choice.uid_base)
            if self._is_whiteout(directory, name, status):
                self._empty(os.path.join(os.path.dirname(path), overlay.DOTS + name), status)
            elif stat.S_ISDIR(status.mode):
                return self._enterable(directory, path, name)
            elif stat.S_ISREG(status.mode):
                self._file(directory, path, name, found)
            else:
                self._other(directory, path, name, status)
        except FileNotFoundError:
            self.changed += 1
        return False

    def directory(self, fd: int, path: bytes) -> None:
        """The entry of an open directory."""
        status = compare.own(os.fstat(fd), self.choice.uid_base)
        self.archive.add(Member(path, status, attributes=self._attributes(fd)))

    def opaque(self, fd: int, path: bytes) -> None:
        """Say that a directory of an upper layer hides all below it."""
        if self.choice.marks and overlay.is_opaque(fd, self.choice.marks):
            self._empty(path + b"/" + overlay.OPAQUE_DOTS, compare.own(os.fstat(fd), self.choice.uid_base))

    def _enterable(self, directory: int, path: bytes, name: bytes) -> bool:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            self.directory(fd, path)
            return os.fstat(fd).st_dev == self.device
        finally:
            os.close(fd)

    def _file(self, directory: int, path: bytes, name: bytes, seen: os.stat_result) -> None:
        key = seen.st_dev, seen.st_ino
        if seen.st_nlink > 1:
            earlier = self._seen.setdefault(key, path)
            if earlier != path:
                self.archive.add(Member(path, compare.own(seen, self.choice.uid_base), linked=earlier))
                return
        with overlay.reading(directory, name) as fd:
            status = compare.own(os.fstat(fd), self.choice.uid_base)
            whole = self.archive.add_file(Member(path, status, attributes=self._attributes(fd)), fd)
            after = compare.own(os.fstat(fd), self.choice.uid_base)
        self.changed += not whole or (after.size, after.mtime_ns) != (status.size, status.mtime_ns)

    def _other(self, directory: int, path: bytes, name: bytes, status: Status) -> None:
        if not is_archived(status.mode):
            self.skipped += 1
            return
        target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.mode) else b""
        self.archive.add(Member(path, status, target))

    def _is_whiteout(self, directory: int, name: bytes, status: Status) -> bool:
        marks = self.choice.marks
        return marks is not None and overlay.is_whiteout(directory, name, status, marks)

    def _empty(self, path: bytes, like: Status) -> None:
        self.archive.add(Member(path, like._replace(mode=stat.S_IFREG | 0o600, size=0)))

    def _attributes(self, fd: int) -> dict[str, bytes]:
        return overlay.attributes(fd) if self.choice.attributes else {}

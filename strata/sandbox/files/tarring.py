# SPDX-License-Identifier: MIT
"""Writing a tar archive (pax, IEEE Std 1003.1) to a descriptor, in constant memory, hashed on the way.

Headers are the standard library's. Holes of sparse files are left out as GNU tar does ("PAX Format, Version 1.0"), so
that a file which claims a terabyte costs what is in it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from strata.errors import InvalidArgument
from strata.sandbox.files import transfer
from strata.sandbox.files.compare import Status

BLOCK: Final = 512
_RECORD: Final = 20 * BLOCK  # what tar programs read and write at a time
_CHUNK: Final = 1_048_576
_MOST_PIECES: Final = 4096  # of one sparse file; with more of them the holes behind are written out
_TYPES: Final = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


class Member(NamedTuple):
    """An entry of the archive. `linked`: the earlier entry that is the same file."""

    name: bytes
    status: Status
    target: bytes = b""
    linked: bytes = b""
    attributes: Mapping[str, bytes] = MappingProxyType({})


class Archive:
    """One archive on its way out. After `end`, `size` and `sha256` are those of all that was written."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._most = transfer.most_into(fd)
        self._digest = hashlib.sha256()
        self._view = memoryview(bytearray(_CHUNK))
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what was written, in hexadecimal."""
        return self._digest.hexdigest()

    def add(self, member: Member) -> None:
        """An entry without content. Sockets and devices have none in an archive: see `is_archived`."""
        self._write(_header(member, 0))

    def add_file(self, member: Member, source: int) -> bool:
        """A regular file with its content; false when it shrank meanwhile and was filled up with zeros."""
        size = member.status.size
        pieces = _pieces(source, size) if member.status.blocks * BLOCK < size else [(0, size)]
        if pieces == [(0, size)]:
            self._write(_header(member, size))
            whole = self._copy(source, 0, size)
            self._pad(size)
            return whole
        return self._add_sparse(member, source, pieces)

    def end(self) -> None:
        """Two empty blocks, and whole records."""
        self._write(bytes(2 * BLOCK))
        self._write(bytes(-self.size % _RECORD))

    def _add_sparse(self, member: Member, source: int, pieces: list[tuple[int, int]]) -> bool:
        table = _table(pieces)
        stored = len(table) + sum(length for _, length in pieces)
        self._write(_header(member, stored, sparse=member.status.size))
        self._write(table)
        whole = True
        for offset, length in pieces:
            whole &= self._copy(source, offset, length)
        self._pad(stored)
        return whole

    def _copy(self, source: int, offset: int, length: int) -> bool:
        end = offset + length
        while offset < end:
            view = self._view[: min(_CHUNK, end - offset)]
            count = os.preadv(source, [view], offset)
            if not count:
                self._zeros(end - offset)
                return False
            self._write(view[:count])
            offset += count
        return True

    def _pad(self, size: int) -> None:
        self._write(bytes(-size % BLOCK))

    def _zeros(self, count: int) -> None:
        empty = bytes(min(count, _CHUNK))
        while count:
            self._write(empty[:count])
            count -= len(empty[:count])

    def _write(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self.size += len(data)
        if self.size > self._most:
            raise InvalidArgument(transfer.TOO_MUCH.format(self._most))
        if not transfer.write(self._fd, memoryview(data)):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def is_archived(mode: int) -> bool:
    """Whether an archive can hold it. A socket is nothing without who listens; devices there are none but /dev's."""
    return stat.S_IFMT(mode) in _TYPES


def _header(member: Member, stored: int, sparse: int | None = None) -> bytes:
    found = member.status
    info = tarfile.TarInfo(os.fsdecode(member.name))
    info.mode, info.uid, info.gid = stat.S_IMODE(found.mode), found.uid, found.gid
    info.mtime = found.mtime_ns // 1_000_000_000
    info.type = tarfile.LNKTYPE if member.linked else _TYPES[stat.S_IFMT(found.mode)]
    info.linkname = os.fsdecode(member.linked or member.target)
    info.size = stored
    info.pax_headers = {f"SCHILY.xattr.{name}": os.fsdecode(value) for name, value in member.attributes.items()}
    if sparse is not None:
        numbers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(sparse)}
        info.pax_headers |= numbers | {"GNU.sparse.name": info.name}
        # For who knows no holes. One that takes a `path` header would be taken for the name by some who do.
        info.name = "GNUSparseFile.0/" + os.path.basename(info.name).encode("ascii", "replace").decode()[:84]
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _pieces(fd: int, size: int) -> list[tuple[int, int]]:
    """(offset, length) of what is no hole, as GNU tar wants it: an empty piece at the end when that is a hole."""
    found: list[tuple[int, int]] = []
    end = 0
    while end < size and len(found) < _MOST_PIECES:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on (lseek(2))
                return [*found, (size, 0)]
            raise
        end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < size:
            found.append((start, end - start))
    if end < size:
        found.append((end, size - end))
    return found


def _table(pieces: list[tuple[int, int]]) -> bytes:
    lines = [len(pieces), *(number for piece in pieces for number in piece)]
    text = b"".join(b"%d\n" % number for number in lines)
    return text + bytes(-len(text) % BLOCK)

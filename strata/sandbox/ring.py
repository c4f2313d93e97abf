# SPDX-License-Identifier: MIT
"""The newest output of a process, in a file without a name that outlives this process in systemd's descriptor store.

Nothing is lost or counted twice when we are killed between two system calls: where the next byte goes is the file
offset, which the kernel moves in the very call that writes (write(2), splice(2)), and which all holders of the
descriptor share. Only at the end of the ring two more facts are needed, and they are written in an order that tells,
at any moment, what is still to be done (`_turn`). Behind the ring there is room for notes.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

from strata.errors import Internal

HEAD = 4096  # bytes before the ring: a page, so that splice(2) moves whole ones
_MAGIC = b"strata ring 1\n\0\0"
_SIZE = struct.Struct("<16sQ")
_LAPS = struct.Struct("<QQ")  # laps that are full; laps that are to be when a turn is under way
_AT_LAPS = 64
_LONGEST_NOTES = 16 * 1_048_576


class Piece(NamedTuple):
    """Bytes of a stream. `offset` is that of the first; `lost` counts those asked for that are not kept any more."""

    offset: int
    data: bytes
    lost: int = 0


class Ring:
    """The last `size` bytes of a stream, addressed by their offset in the whole of it. Owns its descriptor."""

    def __init__(self, fd: int) -> None:
        """Take over a ring's descriptor. Raises Internal when it is none; then the descriptor stays the caller's."""
        head = os.pread(fd, _SIZE.size, 0)
        if len(head) < _SIZE.size or not head.startswith(_MAGIC):
            raise Internal("cannot use a descriptor as a ring: it is something else")
        self.fd = fd
        self.size: int = _SIZE.unpack(head)[1]
        self._laps: int
        self._laps, due = _LAPS.unpack(os.pread(fd, _LAPS.size, _AT_LAPS))
        if due != self._laps:
            self._finish_turn(due)
        self._at = os.lseek(fd, 0, os.SEEK_CUR) - HEAD

    @classmethod
    def make(cls, name: str, size: int) -> Ring:
        """An empty ring of `size` bytes; `name` is for people who look into /proc. Memory is taken as it fills."""
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, HEAD + size)
            os.pwrite(fd, _SIZE.pack(_MAGIC, size), 0)
            os.lseek(fd, HEAD, os.SEEK_SET)
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    @property
    def end(self) -> int:
        """Offset of the next byte: as many as ever came."""
        return self._laps * self.size + self._at

    @property
    def start(self) -> int:
        """Offset of the oldest byte that is kept."""
        return max(0, self.end - self.size)

    def append(self, data: bytes) -> None:
        """Keep `data`, at the cost of the oldest."""
        view = memoryview(data)
        while view:
            done = os.write(self.fd, view[: self._room()])
            self._at += done
            view = view[done:]

    def take(self, pipe: int, most: int) -> int:
        """Move up to `most` bytes from a pipe that never waits, without seeing them; 0 at its end.

        Raises BlockingIOError when the pipe is empty.
        """
        done = os.splice(pipe, self.fd, min(most, self._room()))
        self._at += done
        return done

    def read(self, offset: int, most: int) -> Piece:
        """Up to `most` bytes from `offset` on, or from the oldest that is kept. Empty at the end."""
        begin = min(max(offset, self.start), self.end)
        length, place = min(most, self.end - begin), begin % self.size
        data = os.pread(self.fd, min(length, self.size - place), HEAD + place)
        data += os.pread(self.fd, length - len(data), HEAD)
        return Piece(begin, data, max(0, begin - offset))

    def note(self, line: bytes) -> None:
        """Add one line to the notes; a line that a kill cuts short is not there."""
        behind = HEAD + self.size + sum(len(earlier) + 1 for earlier in self.notes())
        os.pwrite(self.fd, line + b"\n", behind)

    def notes(self) -> list[bytes]:
        """All whole lines."""
        raw = os.pread(self.fd, _LONGEST_NOTES, HEAD + self.size)
        return raw.split(b"\n")[:-1]

    def held(self) -> int:
        """Bytes of memory that it takes now."""
        return os.fstat(self.fd).st_blocks * 512

    def close(self) -> None:
        """Let it go; once nobody holds the descriptor the memory is free."""
        os.close(self.fd)

    def _room(self) -> int:
        """Bytes up to the end of the ring; at the end, begin a new lap."""
        if self._at == self.size:
            self._turn()
        return self.size - self._at

    def _turn(self) -> None:
        os.pwrite(self.fd, _LAPS.pack(self._laps, self._laps + 1), _AT_LAPS)
        self._finish_turn(self._laps + 1)
        self._at = 0

    def _finish_turn(self, laps: int) -> None:
        """What may be done any number of times: nothing is written to the ring before it is complete."""
        os.lseek(self.fd, HEAD, os.SEEK_SET)
        os.pwrite(self.fd, _LAPS.pack(laps, laps), _AT_LAPS)
        self._laps = laps

# SPDX-License-Identifier: MIT
"""Memory that the room may write a result into when it is longer than a frame (memfd_create(2))."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import msgspec

_KEPT = 64  # that wait for the next call; making one costs more than keeping it
_WRITTEN = b'{"written":'


class _Written(msgspec.Struct):
    written: int


class Memory:
    """Lends memfds. One that was written to, or whose call did not end well, is not lent again."""

    def __init__(self) -> None:
        self._idle: list[int] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[int]:
        """An empty one, for one call."""
        fd = self._idle.pop() if self._idle else os.memfd_create("strata-result", os.MFD_CLOEXEC)
        try:
            yield fd
        except BaseException:  # whoever has it too may still write
            os.close(fd)
            raise
        if len(self._idle) < _KEPT and os.fstat(fd).st_size == 0:
            self._idle.append(fd)
        else:
            os.close(fd)

    def close(self) -> None:
        """Give all back."""
        while self._idle:
            os.close(self._idle.pop())


def whole(result: bytes, fd: int) -> bytes:
    """The result itself, or what it says was written to `fd`."""
    if not result.startswith(_WRITTEN):
        return result
    size, parts = msgspec.json.decode(result, type=_Written).written, bytearray()
    while len(parts) < size and (part := os.pread(fd, size - len(parts), len(parts))):
        parts += part
    return bytes(parts)

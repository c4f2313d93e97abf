# SPDX-License-Identifier: MIT
"""Lines from a pipe, on an event loop."""

from __future__ import annotations

import asyncio
import os
from collections import deque

_READ_BYTES = 65_536
MOST_BYTES = 8 * 1024 * 1024
"""Of one line."""


class Lines:
    """The lines that arrive at a pipe's read end, without their ends; over when the last writer has closed it, or when
    a line is too long.

    Reads only as far ahead as nobody has taken yet, so a reader that is slow slows the writer.
    """

    def __init__(self, fd: int) -> None:
        """Takes `fd` over."""
        os.set_blocking(fd, False)
        self.fd = fd
        self._loop = asyncio.get_running_loop()
        self._partial = bytearray()
        self._lines: deque[bytes] = deque()
        self._ended = False
        self._arrived = asyncio.Event()
        self._reading = False
        self._read(wanted=True)

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> bytes:
        while not self._lines:
            if self._ended:
                raise StopAsyncIteration
            self._read(wanted=True)
            self._arrived.clear()
            await self._arrived.wait()
        return self._lines.popleft()

    def close(self) -> None:
        """Take no more."""
        if self.fd >= 0:
            self._read(wanted=False)
            os.close(self.fd)
            self.fd = -1

    def _read(self, wanted: bool) -> None:
        if wanted and not self._reading:
            self._loop.add_reader(self.fd, self._readable)
        elif not wanted and self._reading:
            self._loop.remove_reader(self.fd)
        self._reading = wanted

    def _readable(self) -> None:
        try:
            data = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return
        if not data or len(self._partial) > MOST_BYTES:
            self._ended = True
            self._read(wanted=False)
        elif b"\n" in data:
            first, *whole, partial = data.split(b"\n")
            self._lines.extend((bytes(self._partial + first), *whole))
            self._partial = bytearray(partial)
            self._read(wanted=False)
        else:
            self._partial += data
        self._arrived.set()

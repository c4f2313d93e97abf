# SPDX-License-Identifier: MIT
"""Our end of a pipe or a socket pair whose other end was handed to the room: waits on the loop, never blocks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable


class ReadEnd:
    """What somebody else writes."""

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor: `close` closes it."""
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._finishing = False
        self._waiting: asyncio.Future[None] | None = None

    async def read(self, size: int) -> bytes:
        """Up to `size` bytes as soon as there are some; none at the end. One reads at a time."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self._descriptor, size)
            except BlockingIOError:
                if self._finishing:
                    return b""
                self._waiting = loop.create_future()
                await _until(self._waiting, self._descriptor, loop.add_reader, loop.remove_reader)
            except ConnectionResetError:
                return b""  # a socket whose other side was closed with something unread

    def finish(self) -> None:
        """What is in there now is all that counts, whoever may still hold the other end."""
        self._finishing = True
        if self._waiting:
            _resolve(self._waiting)

    def close(self) -> None:
        """The writer then gets EPIPE."""
        os.close(self._descriptor)


class WriteEnd:
    """What somebody else reads."""

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor: `close` closes it."""
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._open = True

    async def write(self, data: bytes) -> None:
        """Raises BrokenPipeError when nobody can read it any more. One writes at a time."""
        loop = asyncio.get_running_loop()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                await _until(loop.create_future(), self._descriptor, loop.add_writer, loop.remove_writer)

    async def abandoned(self, timeout: float) -> bool:
        """Wait, at most `timeout` seconds, until nobody can read any more; whether that came.

        Who closes a pipe earlier tells its reader that it has got everything. At once when that was told already.
        """
        if not self._open:
            return True
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                # poll(2): POLLERR, which is always watched for, is set on the write end when no read end is left.
                await _until(loop.create_future(), self._descriptor, loop.add_reader, loop.remove_reader)
                return True
        return False

    def close(self) -> None:
        """The reader then gets to the end. May be called again."""
        if self._open:
            self._open = False
            os.close(self._descriptor)


async def _until(
    ready: asyncio.Future[None], descriptor: int, add: Callable[..., object], remove: Callable[[int], object]
) -> None:
    add(descriptor, _resolve, ready)
    try:
        await ready
    finally:
        remove(descriptor)


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)

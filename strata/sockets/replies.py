# SPDX-License-Identifier: MIT
"""The client's end of one asyncio connection: frames as they come, for one reader."""

from __future__ import annotations

import asyncio
import collections
from typing import cast

from strata.sockets import frame

_ENOUGH = 2 * frame.MAX_PAYLOAD
"""Bytes of frames that may wait for their reader; then the rest waits with the service."""


class Replies(asyncio.Protocol):
    """Frames in order. Whoever loses interest in the middle closes the transport."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.error: Exception | None = None  # why no more will come
        self._decoder = frame.Decoder()
        self._frames: collections.deque[bytes | bytearray] = collections.deque()
        self._size = 0
        self._paused = False
        self._reader: asyncio.Future[bytes | bytearray] | None = None

    async def next(self) -> bytes | bytearray:
        """The next payload. Raises what ended the connection: OSError, EOFError or FrameError."""
        if self._frames:
            return self._waiting()
        if self.error:
            raise self.error
        self._reader = asyncio.get_running_loop().create_future()
        try:
            return await self._reader
        finally:
            self._reader = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or EOFError("the connection was closed before the answer came"))

    def data_received(self, data: bytes) -> None:
        if alone := self._decoder.alone(data):
            self._deliver(alone)
            return
        self._decoder.push(data)
        try:
            while payload := self._decoder.next():
                self._deliver(payload)
        except frame.FrameError as error:
            self._end(error)
            self.transport.abort()

    # --- within

    def _deliver(self, payload: bytes | bytearray) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(payload)
            return
        self._frames.append(payload)
        self._size += len(payload)
        if self._size > _ENOUGH and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _waiting(self) -> bytes | bytearray:
        payload = self._frames.popleft()
        self._size -= len(payload)
        if self._paused and self._size <= _ENOUGH and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()
        return payload

    def _end(self, error: Exception) -> None:
        self.error = self.error or error
        if self._reader and not self._reader.done():
            self._reader.set_exception(self.error)

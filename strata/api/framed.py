# SPDX-License-Identifier: MIT
"""Bytes and what became of them in one body: application/vnd.strata.stream.

Frames of an 8-byte head (kind, three zero bytes, length in big-endian) and that many bytes: the framing that container
engines use for attached streams. Kinds 1 and 2 are standard output and error, as they came; the last frame is 3, the
result as JSON, or 4, an error as JSON. A body without a last frame was cut off.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import msgspec

from strata.api import answering
from strata.api.events import PATIENCE
from strata.api.exchange import Reply, primed
from strata.api.pipes import ReadEnd
from strata.api.reading import Gone
from strata.errors import StrataError

MEDIA = "application/vnd.strata.stream"
STDOUT, STDERR, RESULT, ERROR = 1, 2, 3, 4
PIECE = 262_144
_HEAD = struct.Struct(">B3xI")
_WAITING = 4  # frames that the client has not taken; then the pipes fill up


def frame(kind: int, data: bytes) -> bytes:
    """One frame."""
    return _HEAD.pack(kind, len(data)) + data


class Frames:
    """What goes to the client: put in by those who read pipes, taken out by the reply."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(_WAITING)
        self._failure: StrataError | None = None

    async def pump(self, kind: int, end: ReadEnd) -> None:
        """All that can be read, as frames of `kind`."""
        while data := await end.read(PIECE):
            await self._queue.put((kind, data))

    async def reply(self, work: Coroutine[Any, Any, bytes]) -> Reply:
        """A reply of all frames, and the outcome of `work` as the last.

        It begins with the first of them, or after a second without one; what fails before raises its StrataError.
        """
        conductor = asyncio.create_task(self._conduct(work))
        first = asyncio.create_task(self._queue.get())
        try:
            await asyncio.wait({first}, timeout=PATIENCE)
            if first.done() and first.result()[0] == ERROR and self._failure:
                raise self._failure
        except BaseException:
            await _ended(first, conductor)
            raise
        return Reply(await primed(self._pieces(first, conductor)), media=MEDIA)

    async def _conduct(self, work: Coroutine[Any, Any, bytes]) -> None:
        try:
            last = (RESULT, await work)
        except Gone:
            last = (ERROR, b"{}")  # there is nobody left to tell
        except Exception as error:  # noqa: BLE001  told to the client, who would wait for ever
            self._failure = answering.unexpected(error, "a stream")
            last = (ERROR, msgspec.json.encode(answering.error_body(self._failure)))
        await self._queue.put(last)

    async def _pieces(
        self, first: asyncio.Task[tuple[int, bytes]], conductor: asyncio.Task[None]
    ) -> AsyncGenerator[bytes, None]:
        try:
            yield b""
            kind, data = await first
            yield frame(kind, data)
            while kind not in (RESULT, ERROR):
                kind, data = await self._queue.get()
                yield frame(kind, data)
        finally:
            await _ended(first, conductor)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

# SPDX-License-Identifier: MIT
"""A terminal that is looked at, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from strata.client.async_unix import AsyncLine
from strata.client.results import TerminalEnd, fill
from strata.client.terminal import attached
from strata.errors import Internal

Resize = Callable[[str, int, int, int | None], Awaitable[None]]


class AsyncTerminal:
    """Leaving it (`close`, or the end of an `async with`) leaves what runs there running; `offset` is to come back."""

    def __init__(
        self,
        line: AsyncLine,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        resize: Resize,
    ) -> None:
        self._reader, self._writer = streams
        self._events: AsyncGenerator[Any, None] = line.events
        self._resize = resize
        self.info, self.viewer, self.offset, self.lost = attached(line.first)

    @classmethod
    async def over(cls, line: AsyncLine, resize: Resize) -> AsyncTerminal:
        """The terminal of a line. Raises Internal."""
        try:
            attached(line.first)
            return cls(line, await asyncio.open_unix_connection(sock=line.socket), resize)
        except BaseException:
            line.socket.close()
            await line.events.aclose()
            raise

    async def __aenter__(self) -> AsyncTerminal:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, data: bytes) -> None:
        """Type."""
        self._writer.write(data)
        await self._writer.drain()

    async def receive(self, size: int = 65_536) -> bytes:
        """What it shows, as soon as there is something; nothing at its end."""
        try:
            data = await self._reader.read(size)
        except ConnectionResetError:  # what was typed last found no reader
            data = b""
        self.offset += len(data)
        return data

    async def resize(self, rows: int, cols: int) -> None:
        """Our window has another size."""
        await self._resize(self.info.terminal, rows, cols, self.viewer)

    async def end(self) -> TerminalEnd:
        """Wait until it is over for us, and say why."""
        async for event in self._events:
            if isinstance(event, dict) and "ended" in event:
                return fill(TerminalEnd, event)
        raise Internal("cannot tell how the terminal ended: nothing was said")

    async def close(self) -> None:
        """Look no more."""
        self._writer.close()
        await self._events.aclose()

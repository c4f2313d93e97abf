# SPDX-License-Identifier: MIT
"""One viewer of a terminal, for as long as its client stays: also over a restart of the room.

The room joins one end of a socket pair to the terminal; raw bytes pass there, and what happens to the terminal comes as
events of the streaming call. A room that goes away leaves the terminal alive (its descriptors wait in systemd's store):
the viewer attaches again, from the byte on that it has not shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

import msgspec

from strata.api.beside import together
from strata.api.door import Door
from strata.api.pipes import ReadEnd, WriteEnd
from strata.errors import Unavailable

PIECE = 65_536
_RETRY_SECONDS = 0.2


class Size(NamedTuple):
    """The window was resized."""

    rows: int
    cols: int


Typed: TypeAlias = bytes | Size
Show: TypeAlias = Callable[[bytes], Awaitable[None]]
Tell: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


class Viewer:
    """`show` gets what the terminal writes, `tell` each `attached` event: the first, and one after every restart."""

    def __init__(self, door: Door, token: str, params: dict[str, Any], show: Show, tell: Tell) -> None:
        """`params` are those of sandbox.attach: owner, session, terminal, rows, cols, offset, command."""
        self._door, self._token, self._params = door, token, params
        self._show, self._tell = show, tell
        self._seat: dict[str, Any] = {name: params[name] for name in ("owner", "session")}
        self._keys: asyncio.Future[WriteEnd] = asyncio.get_running_loop().create_future()
        self._pressing = asyncio.Lock()
        self._attached_at: float | None = None

    async def view(self, typed: AsyncIterator[Typed]) -> dict[str, Any] | None:
        """How the terminal ended, or None when it is the client who left. Raises StrataError."""
        typing = asyncio.create_task(self._type(typed))
        watched = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({typing, watched}, return_when=asyncio.FIRST_COMPLETED)
            if watched.done():
                return watched.result()
            typing.result()
            return None
        finally:
            for task in (typing, watched):
                task.cancel()
            await asyncio.gather(typing, watched, return_exceptions=True)

    # --- what it shows

    async def _watch(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        while True:
            try:
                if ended := await self._attach():
                    return ended
            except Unavailable:
                if self._attached_at is None or loop.time() > self._attached_at + self._door.limits.reattach_seconds:
                    raise
            await asyncio.sleep(_RETRY_SECONDS)

    async def _attach(self) -> dict[str, Any] | None:
        """One attachment, until its end; None when the room ended it without a word about the terminal."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            screen, keys = ReadEnd(os.dup(ours.fileno())), WriteEnd(os.dup(ours.fileno()))
            begun = asyncio.Event()
            try:
                return await together(self._follow(theirs, screen, keys, begun), self._display(screen, begun))
            finally:
                ours.shutdown(socket.SHUT_RDWR)  # who is writing learns that it is over
                if self._keys.done():
                    self._keys = asyncio.get_running_loop().create_future()
                try:
                    async with self._pressing:
                        pass
                finally:
                    keys.close()
                    screen.close()

    async def _follow(
        self, theirs: socket.socket, screen: ReadEnd, keys: WriteEnd, begun: asyncio.Event
    ) -> dict[str, Any] | None:
        ended = None
        frames = self._door.room.stream("sandbox.attach", self._params, self._token, [theirs.fileno()])
        async with contextlib.aclosing(frames):
            async for frame in frames:
                event: dict[str, Any] = msgspec.json.decode(frame)
                if "attached" in event:
                    theirs.close()
                    await self._begin(event["attached"], keys)
                    begun.set()
                elif "ended" in event:
                    ended = event
        screen.finish()
        begun.set()
        return ended

    async def _begin(self, attached: dict[str, Any], keys: WriteEnd) -> None:
        self._attached_at = asyncio.get_running_loop().time()
        self._seat |= {name: attached[name] for name in ("terminal", "viewer") if name in attached}
        self._params = self._params | {"offset": attached.get("offset", 0)}
        await self._tell(attached)
        self._keys.set_result(keys)

    async def _display(self, screen: ReadEnd, begun: asyncio.Event) -> None:
        await begun.wait()  # only then it is known which byte is the first
        while data := await screen.read(PIECE):
            self._params["offset"] += len(data)
            await self._show(data)

    # --- what is typed

    async def _type(self, typed: AsyncIterator[Typed]) -> None:
        async for item in typed:
            if isinstance(item, Size):
                await self._resize(item)
            else:
                await self._press(item)

    async def _press(self, data: bytes) -> None:
        # It has ended, which the other side tells, or the room has gone, and what was typed with it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while True:
                keys = await asyncio.shield(self._keys)
                async with self._pressing:
                    if self._keys.done():
                        await keys.write(data)
                        return

    async def _resize(self, size: Size) -> None:
        if not (0 < size.rows <= 65_535 and 0 < size.cols <= 65_535):
            return  # no window has such a size; spec 2.6 has it ignored
        await asyncio.shield(self._keys)
        self._params |= size._asdict()
        with contextlib.suppress(Unavailable):  # the room is starting again: it is told when it is attached again
            await self._door.room.call("sandbox.resize", self._seat | size._asdict(), self._token)

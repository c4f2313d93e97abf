# SPDX-License-Identifier: MIT
"""Terminals: a viewer is one end of a socket pair, whose other end the room joins to the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

from strata.api.beside import together
from strata.api.grpc_call import Call
from strata.api.grpc_messages import filled, params_of
from strata.api.pipes import ReadEnd, WriteEnd
from strata.api.proto import sandbox_pb2 as old
from strata.api.proto.strata.v1 import sandbox_pb2 as v1
from strata.errors import InvalidArgument

CHUNK = 65_536
_QUIET_SECONDS = 0.3  # after the client's last message: the answer to what it typed is still sent
_LINGER_SECONDS = 5.0


class Size(NamedTuple):
    """The window was resized."""

    rows: int
    cols: int


Typed: TypeAlias = bytes | Size
Send: TypeAlias = Callable[[Any], Awaitable[None]]


async def shell(call: Call) -> None:
    """First `start`, then what is typed; answers what is attached, what the terminal shows, and how it ended."""
    first = await call.first()
    if not first.HasField("start"):
        raise InvalidArgument("cannot attach: the first message must be `start`")

    async def show(data: bytes) -> None:
        await call.send(v1.ShellOutput(data=data))

    async def tell(event: dict[str, Any]) -> None:
        if "attached" in event:
            await call.send(v1.ShellOutput(attached=filled(v1.Attached, event["attached"])))

    if ended := await _Viewer(call, params_of(first.start), show, tell).view(_typed(call)):
        await call.send(v1.ShellOutput(ended=filled(v1.ShellEnded, ended)))


async def _typed(call: Call) -> AsyncIterator[Typed]:
    async for message in call.messages():
        if message.HasField("start"):
            raise InvalidArgument("cannot go on: `start` is for the first message only")
        yield Size(message.resize.rows, message.resize.cols) if message.HasField("resize") else message.data


async def old_shell(call: Call) -> None:
    """The predecessor's: the first message carries the ids and nothing else that counts (spec 2.8)."""
    first = await call.first()
    if not first.ownerID or not first.sessionID:
        raise InvalidArgument("owner_id and session_id required in first message")

    async def show(data: bytes) -> None:
        await call.send(old.ShellOutput(data=data))

    async def tell(event: dict[str, Any]) -> None:
        """It has no message for what was attached."""

    params = {"owner": first.ownerID, "session": first.sessionID}
    if await _Viewer(call, params, show, tell).view(_old_typed(call)):
        await call.send(old.ShellOutput(closed=True))


async def _old_typed(call: Call) -> AsyncIterator[Typed]:
    async for message in call.messages():
        resized = message.HasField("resize")
        yield Size(message.resize.rows, message.resize.cols) if resized else message.stdinData


class _Viewer:
    """One attachment, from its beginning to its end."""

    def __init__(self, call: Call, params: dict[str, Any], show: Send, tell: Send) -> None:
        self._call, self._params, self._show, self._tell = call, params, show, tell
        self._shown = asyncio.Event()
        self._terminal = params.get("terminal", "main")

    async def view(self, typed: AsyncIterator[Typed]) -> dict[str, Any] | None:
        """How the terminal ended, or None when it is the client who left."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            screen, keys = ReadEnd(os.dup(ours.fileno())), WriteEnd(os.dup(ours.fileno()))
            try:
                return await self._until_left(typed, screen, keys, theirs)
            finally:
                screen.close()
                keys.close()

    async def _until_left(
        self, typed: AsyncIterator[Typed], screen: ReadEnd, keys: WriteEnd, theirs: socket.socket
    ) -> dict[str, Any] | None:
        left = asyncio.create_task(self._type(typed, keys))
        watched = asyncio.create_task(together(self._follow(screen, theirs), self._display(screen)))
        try:
            await asyncio.wait({left, watched}, return_when=asyncio.FIRST_COMPLETED)
            if not watched.done():
                left.result()
                await self._linger(watched)
            return watched.result() if watched.done() else None
        finally:
            left.cancel()
            watched.cancel()
            await asyncio.gather(left, watched, return_exceptions=True)

    async def _linger(self, watched: asyncio.Task[Any]) -> None:
        """The client will type no more: what it typed last is still answered, then it is detached."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while not watched.done() and await self._more(watched):
                    pass

    async def _more(self, watched: asyncio.Task[Any]) -> bool:
        self._shown.clear()
        shown = asyncio.create_task(self._shown.wait())
        try:
            done, _ = await asyncio.wait({watched, shown}, timeout=_QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            shown.cancel()

    async def _follow(self, screen: ReadEnd, theirs: socket.socket) -> dict[str, Any]:
        ended: dict[str, Any] = {"ended": "closed"}
        events = self._call.follow("sandbox.attach", self._params, [theirs.fileno()])
        async with contextlib.aclosing(events):
            async for event in events:
                if "ended" in event:
                    ended = event
                    continue
                self._terminal = event.get("attached", {}).get("terminal", self._terminal)
                await self._tell(event)
        screen.finish()
        return ended

    async def _display(self, screen: ReadEnd) -> None:
        while data := await screen.read(CHUNK):
            await self._show(data)
            self._shown.set()

    async def _type(self, typed: AsyncIterator[Typed], keys: WriteEnd) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it has ended, and the other side says how
            async for item in typed:
                if isinstance(item, Size):
                    await self._resize(item)
                else:
                    await keys.write(item)

    async def _resize(self, size: Size) -> None:
        if not (0 < size.rows <= 65_535 and 0 < size.cols <= 65_535):
            return  # no window has such a size; spec 2.6 has it ignored
        where = {name: self._params[name] for name in ("owner", "session")} | {"terminal": self._terminal}
        await self._call.ask("sandbox.resize", where | size._asdict())

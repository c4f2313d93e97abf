# SPDX-License-Identifier: MIT
"""A terminal, seen through any protocol of the door: a viewer is one end of a socket pair, whose other end the room
joins to the terminal. When the room starts again, the viewer is joined anew where it was.
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

CHUNK = 65_536
_QUIET_SECONDS = 0.3  # after the client's last word: the answer to what it typed is still shown
_LINGER_SECONDS = 5.0
_AGAIN_SECONDS = 0.2  # between two attempts to reach a room that is starting
_RESTART = "restart"


class Size(NamedTuple):
    """The client's window has another size."""

    rows: int
    cols: int


Typed: TypeAlias = bytes | Size
Ended: TypeAlias = dict[str, Any]


class Viewer:
    """One client at one terminal. `attached` is what the room told when it was joined, {} before."""

    def __init__(
        self,
        door: Door,
        token: str,
        params: dict[str, Any],
        show: Callable[[bytes], Awaitable[None]],
        tell: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """`params` as sandbox.attach takes them. `show` is given what the terminal writes; it may wait, and is waited
        for. `tell` is given `attached`, once.
        """
        self._door, self._token, self._params, self._show, self._tell = door, token, params, show, tell
        self.attached: dict[str, Any] = {}
        self._keys: WriteEnd | None = None
        self._joined = asyncio.Event()
        self._shown = asyncio.Event()
        self._offset = 0
        self._size: Size | None = None

    async def view(self, typed: AsyncIterator[Typed]) -> Ended | None:
        """How it ended, as the room tells it; None when `typed` did: then the terminal lives on.

        Raises StrataError.
        """
        left = asyncio.create_task(self._type(typed))
        watched = asyncio.create_task(self._watch())
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

    # --- what it shows

    async def _watch(self) -> Ended:
        ended = await self._attach()
        while ended["ended"] == _RESTART:
            ended = await self._attach_again()
        return ended

    async def _attach_again(self) -> Ended:
        self._params = self._params | {"terminal": self.attached["terminal"], "offset": self._offset}
        if self._size:
            self._params |= self._size._asdict()
        end = asyncio.get_running_loop().time() + self._door.limits.reattach_seconds
        while True:
            try:
                return await self._attach()
            except Unavailable:
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _attach(self) -> Ended:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            screen, keys = ReadEnd(os.dup(ours.fileno())), WriteEnd(os.dup(ours.fileno()))
            try:
                return await together(self._follow(keys, screen, theirs), self._display(screen))
            finally:
                self._joined.clear()
                self._keys = None
                screen.close()
                keys.close()

    async def _follow(self, keys: WriteEnd, screen: ReadEnd, theirs: socket.socket) -> Ended:
        ended: Ended = {"ended": "closed"}
        joined = False
        frames = self._door.room.stream("sandbox.attach", self._params, self._token, [theirs.fileno()])
        try:
            async with contextlib.aclosing(frames):
                async for frame in frames:
                    event = msgspec.json.decode(frame)
                    if "attached" in event:
                        joined = True
                        await self._join(event["attached"], keys)
                    else:
                        ended = event
        except Unavailable:
            if not joined:
                raise
            ended = {"ended": _RESTART}
        if not joined:
            raise Unavailable("cannot attach: the room ended the attachment before it began; try again")
        screen.finish()
        return ended

    async def _join(self, attached: dict[str, Any], keys: WriteEnd) -> None:
        first, self.attached = not self.attached, attached
        self._offset = attached["offset"]
        self._keys = keys
        self._joined.set()
        if first:
            await self._tell(attached)

    async def _display(self, screen: ReadEnd) -> None:
        await self._joined.wait()  # nothing is shown before it is told where that begins
        while data := await screen.read(CHUNK):
            await self._show(data)
            self._offset += len(data)
            self._shown.set()

    # --- what is typed

    async def _type(self, typed: AsyncIterator[Typed]) -> None:
        async for item in typed:
            if not isinstance(item, Size):
                await self._press(item)
            elif 0 < item.rows <= 65_535 and 0 < item.cols <= 65_535:  # no window has another; spec 2.6: ignored
                await self._resize(item)

    async def _press(self, data: bytes) -> None:
        while True:
            await self._joined.wait()
            assert self._keys
            try:
                await self._keys.write(data)
                return
            except (BrokenPipeError, ConnectionResetError):
                self._joined.clear()  # it has ended, or is joined anew; the other task knows

    async def _resize(self, size: Size) -> None:
        self._size = size
        await self._joined.wait()
        where = {name: self._params[name] for name in ("owner", "session")}
        which = {name: self.attached[name] for name in ("terminal", "viewer") if name in self.attached}
        with contextlib.suppress(Unavailable):  # who is joined anew brings the size along
            await self._door.room.call("sandbox.resize", where | which | size._asdict(), self._token)

    async def _linger(self, watched: asyncio.Task[Ended]) -> None:
        """The client will type no more: what it typed last is still answered, then it is detached."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while not watched.done() and await self._more(watched):
                    pass

    async def _more(self, watched: asyncio.Task[Ended]) -> bool:
        self._shown.clear()
        shown = asyncio.create_task(self._shown.wait())
        try:
            done, _ = await asyncio.wait({watched, shown}, timeout=_QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return bool(done)
        finally:
            shown.cancel()

# SPDX-License-Identifier: MIT
"""One connection to a room's socket: a call at a time, its replies as the JSON they came as."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from strata.errors import Internal, Unavailable
from strata.sockets import frame

_MOST_REPLIES = 16  # of a stream that its reader has not taken; then the room waits


class Unread(Unavailable):
    """The room hung up without having read the request: it was not done, and another connection can be asked."""


class RoomConnection(asyncio.Protocol):
    """Made by `connect`. `gone` is told when the connection is lost."""

    def __init__(self, sock: socket.socket, name: str, gone: Callable[[RoomConnection], None]) -> None:
        self._sock, self._name, self._gone = sock, name, gone
        self._decoder = frame.Decoder()
        self._replies: collections.deque[bytes | bytearray] = collections.deque()
        self._waiter: asyncio.Future[bytes | bytearray] | None = None
        self._paused = False
        self._failure: Exception | None = None
        self._untouched = True  # no answer to what was sent last has begun to come
        self.transport: asyncio.Transport

    @property
    def usable(self) -> bool:
        """Whether another call may be made."""
        return self._failure is None and not self._replies and not self.transport.is_closing()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        # A request that is read is answered before the room hangs up; of one that is not, the kernel tells (unix(7)).
        unread = self._untouched and isinstance(exc, BrokenPipeError | ConnectionResetError)
        kind = Unread if unread else Unavailable
        self._fail(kind(f"cannot reach {self._name}: it closed the connection"))
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        self._untouched = False
        if payload := self._decoder.alone(data):
            self._take(payload)
            return
        try:
            for part in self._decoder.feed(data):
                self._take(part)
        except frame.FrameError as error:
            self._fail(Internal(f"{self._name} answered with something that is no reply: {error}"))
            self.abort()

    # --- a call

    def send(self, framed: bytes, descriptors: Sequence[int] = ()) -> None:
        """Write a request; descriptors travel with its first byte (unix(7), SCM_RIGHTS).

        Raises Unavailable; Unread when nothing of it has been read.
        """
        if self._failure:
            raise self._failure
        self._untouched = True
        try:
            # Past the transport, which has nothing waiting, for the previous call was answered: so it is known at once
            # whether the room is still there.
            sent = socket.send_fds(self._sock, [framed], list(descriptors))
        except BlockingIOError as error:
            self.abort()
            raise Unavailable(f"cannot reach {self._name}: it does not read") from error
        except OSError as error:
            self.abort()
            raise Unread(f"cannot reach {self._name}: {error.strerror}") from error
        if sent < len(framed):
            self.transport.write(framed[sent:])

    async def reply(self) -> bytes | bytearray:
        """The next reply of the call that was sent. Raises Unavailable when the room is gone."""
        if self._replies:
            if self._paused and len(self._replies) < _MOST_REPLIES // 2:
                self._paused = False
                self.transport.resume_reading()
            return self._replies.popleft()
        if self._failure:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def abort(self) -> None:
        """Hang up: the room cancels what can be cancelled."""
        self.transport.abort()

    def _take(self, payload: bytes | bytearray) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(payload)
            return
        self._replies.append(payload)
        if len(self._replies) >= _MOST_REPLIES and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(self._failure)


async def connect(path: Path, gone: Callable[[RoomConnection], None], timeout: float = 5.0) -> RoomConnection:
    """A new connection, within `timeout` seconds. Raises Unavailable."""
    loop, name = asyncio.get_running_loop(), f"the {path.stem} service"  # where its socket lies is no client's affair
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        async with asyncio.timeout(timeout):
            await loop.sock_connect(sock, str(path))
            _, protocol = await loop.create_unix_connection(lambda: RoomConnection(sock, name, gone), sock=sock)
    except (OSError, TimeoutError) as error:
        with contextlib.suppress(OSError):
            sock.close()
        raise Unavailable(f"cannot reach {name}: {error.strerror or 'no answer in time'}") from error
    return protocol

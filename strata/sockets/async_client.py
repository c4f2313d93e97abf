# SPDX-License-Identifier: MIT
"""The asyncio client: how a room talks to another, and a door to a room."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from strata.errors import UNREADABLE, InvalidArgument, Unavailable
from strata.sockets import descriptors as passing
from strata.sockets import frame
from strata.sockets.client import error_of, new_req_id
from strata.sockets.replies import Replies

_BROKEN = (OSError, TimeoutError, EOFError, frame.FrameError, *UNREADABLE)
_BUSY_SECONDS = 0.01  # between attempts to get into a full queue


class AsyncClient:
    """One connection; calls are made one after the other."""

    def __init__(self, replies: Replies, sock: socket.socket, path: Path) -> None:
        self._replies, self._sock, self.path = replies, sock, path
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path, timeout: float = 5.0) -> AsyncClient:
        """Connect within `timeout` seconds. Raises Unavailable."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(timeout):
                await _enter(sock, path)
                _, replies = await asyncio.get_running_loop().create_unix_connection(Replies, sock=sock)
        except (OSError, TimeoutError) as error:
            sock.close()
            raise Unavailable(f"cannot reach {path}: {str(error) or 'no answer in time'}") from error
        except BaseException:
            sock.close()
            raise
        return cls(replies, sock, path)

    @property
    def closed(self) -> bool:
        """Whether one of the two has hung up, as far as the loop has seen."""
        return self._replies.error is not None or self._replies.transport.is_closing()

    def alive(self) -> bool:
        """Whether another call can be made: asks the kernel for a hang-up that the loop has not seen yet."""
        if self.closed:
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    async def call(
        self,
        method: str,
        params: Any = None,
        token: str = "",
        timeout: float | None = 10.0,
        descriptors: Sequence[int] = (),
    ) -> Any:
        """The `result` of a call. Raises the StrataError it answered, or Unavailable.

        After Unavailable the connection is closed: a late answer must not be taken for the next one's. `descriptors`
        go with the call, where the service takes any; they stay the caller's to close.
        """
        framed = _framed(method, params, token)
        async with self._turn:
            self._send(framed, descriptors)
            reply = await self._reply(timeout)
        if not reply.get("ok"):
            raise error_of(reply)
        return reply.get("result")

    async def stream(
        self,
        method: str,
        params: Any = None,
        token: str = "",
        timeout: float | None = None,
        descriptors: Sequence[int] = (),
    ) -> AsyncGenerator[Any, None]:
        """Results of a streaming method, until its last; `timeout` seconds at most between two.

        Closing it before its end (contextlib.aclosing) hangs up, which cancels the work. Raises StrataError.
        """
        framed = _framed(method, params, token)
        async with self._turn:
            ended = False
            try:
                self._send(framed, descriptors)
                while not ended:
                    reply = await self._reply(timeout)
                    ended = not reply.get("more")
                    if not reply.get("ok"):
                        raise error_of(reply)
                    if not ended:
                        yield reply.get("result")
            finally:
                if not ended:
                    self.close()

    def close(self) -> None:
        """Hang up."""
        self._replies.transport.close()

    def _send(self, framed: bytes, descriptors: Sequence[int]) -> None:
        if self.closed:
            raise self._unavailable(self._replies.error or EOFError("the connection is closed"))
        sent = 0
        if descriptors:  # straight into the socket: nothing waits before it, for every call before was answered
            try:
                sent = passing.send(self._sock, framed, descriptors)
            except OSError as error:
                self.close()
                raise self._unavailable(error) from error
        if sent < len(framed):
            self._replies.transport.write(framed[sent:])

    async def _reply(self, timeout: float | None) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout):
                return msgspec.json.decode(await self._replies.next(), type=dict[str, Any])
        except _BROKEN as error:
            self.close()
            raise self._unavailable(error) from error
        except asyncio.CancelledError:
            self.close()
            raise

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(f"cannot reach {self.path}: {str(error) or 'no answer in time'}")


async def call(path: Path, method: str, params: Any = None, token: str = "", timeout: float = 10.0) -> Any:
    """One call over a connection of its own. Raises StrataError."""
    client = await AsyncClient.connect(path, timeout)
    try:
        return await client.call(method, params, token, timeout)
    finally:
        client.close()


async def _enter(sock: socket.socket, path: Path) -> None:
    """connect(2), which never waits on a unix socket but for a place in the queue."""
    while True:
        try:
            sock.connect(str(path))
        except BlockingIOError:
            await asyncio.sleep(_BUSY_SECONDS)
        else:
            return


def _framed(method: str, params: Any, token: str) -> bytes:
    request: dict[str, Any] = {"v": 1, "req_id": new_req_id(), "method": method, "params": params or {}}
    if token:
        request["auth"] = {"token": token}
    try:
        return frame.encode(msgspec.json.encode(request))
    except frame.FrameError as error:
        raise InvalidArgument(f"cannot call {method}: {error}; send less") from error

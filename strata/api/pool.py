# SPDX-License-Identifier: MIT
"""Calls to the sandbox room over a few connections that stay open, and how many of them there may be at once."""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from strata.api.limits import LIMITS, DoorLimits
from strata.api.memory import Memory, whole
from strata.api.room_connection import RoomConnection, Unread, connect
from strata.api.turns import Turns
from strata.errors import (
    BY_CODE,
    UNREADABLE,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    StrataError,
    Unauthenticated,
    Unavailable,
)
from strata.sockets import frame

NOTHING = "sandbox.ping"
"""No method of the room: it is refused before anybody is asked who he is."""

QUICK = frozenset({"sandbox.stats", "sandbox.list", "sandbox.describe", NOTHING})
"""Answered at once, so they may use the reserved connections."""

LARGE = frozenset({"sandbox.exec"})
"""May answer more than a frame holds, into memory that comes with the call."""

_ATTEMPTS = 3
"""Until a room that hangs up again and again is Unavailable."""

EMPTY = msgspec.Raw(b"null")


class _Auth(msgspec.Struct):
    token: str


class _Request(msgspec.Struct, omit_defaults=True):
    v: int | None = None
    req_id: str | None = None
    method: str | None = None
    auth: _Auth | None = None
    params: Any = None


class _ErrorBody(msgspec.Struct):
    code: int = 5
    message: str = "no message"
    details: dict[str, Any] = {}


class _Reply(msgspec.Struct):
    ok: bool = False
    result: msgspec.Raw = EMPTY
    more: bool = False
    error: _ErrorBody | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Reply).decode


class RoomPool:
    """The door's way to one room. Closing it hangs up every call."""

    def __init__(self, path: Path, limits: DoorLimits = LIMITS, anonymous: bool = False) -> None:
        """`anonymous`: calls without a token are passed on too (insecure_no_auth)."""
        self.path, self.limits, self._anonymous = path, limits, anonymous
        self._idle: list[RoomConnection] = []
        self._open: set[RoomConnection] = set()
        self._turns = Turns(limits)
        self._per_token: collections.Counter[str] = collections.Counter()
        self._memory = Memory()

    async def call(self, method: str, params: Any, token: str = "", descriptors: Sequence[int] = ()) -> Any:
        """The result of a call, decoded. Raises the StrataError that the room answered, or Unavailable."""
        return msgspec.json.decode(await self.raw(method, params, token, descriptors))

    async def raw(self, method: str, params: Any, token: str = "", descriptors: Sequence[int] = ()) -> bytes:
        """The result as the room's own JSON. Cancelling the caller hangs up, which cancels the call.

        `params` is anything msgspec encodes to an object. The descriptors stay the caller's to close.
        """
        self._require(token)
        if method in LARGE and not descriptors:
            with self._memory.lent() as fd:
                return whole(await self._answered(method, params, token, [fd]), fd)
        return await self._answered(method, params, token, descriptors)

    async def stream(
        self, method: str, params: Any, token: str = "", descriptors: Sequence[int] = ()
    ) -> AsyncGenerator[bytes, None]:
        """Every frame of a streaming call but the closing one, as JSON. Leaving early (aclose) cancels the call."""
        self._require(token)
        async with self._asked(method, params, token, descriptors) as (connection, payload):
            while (reply := _result(payload)).more:
                yield bytes(reply.result)
                payload = await connection.reply()

    async def alive(self) -> bool:
        """Whether the room answers at all, whoever asks: with nobody's token, a method that it does not have."""
        try:
            await self._answered(NOTHING, {}, "", ())
        except Unavailable:
            return False
        except StrataError:
            return True
        return True

    def close(self) -> None:
        """Hang up everywhere."""
        self._memory.close()
        for connection in tuple(self._open):
            connection.abort()

    # --- connections

    def _require(self, token: str) -> None:
        """Each protocol asks for a token at its own door; none may be the one that forgot, because the room takes who
        comes without one for its own user's. Raises Unauthenticated."""
        if not token and not self._anonymous:
            raise Unauthenticated("token required")

    async def _answered(self, method: str, params: Any, token: str, descriptors: Sequence[int]) -> bytes:
        async with self._asked(method, params, token, descriptors) as (_, payload):
            return bytes(_result(payload).result)

    @contextlib.asynccontextmanager
    async def _asked(
        self, method: str, params: Any, token: str, descriptors: Sequence[int]
    ) -> AsyncIterator[tuple[RoomConnection, bytes | bytearray]]:
        """A connection on which the call was made, and its first reply."""
        framed = _framed(method, params, token)
        with self._counted(token):
            await self._turns.take(method in QUICK)
            try:
                connection, first = await self._first_reply(framed, descriptors)
                async with self._lent(connection):
                    yield connection, first
            finally:
                self._turns.give_back()

    async def _first_reply(self, framed: bytes, descriptors: Sequence[int]) -> tuple[RoomConnection, bytes | bytearray]:
        """A room that is being restarted hangs up, and its successor answers: what was not read is asked again."""
        for left in reversed(range(_ATTEMPTS)):
            connection = await self._connection()
            try:
                async with self._lent(connection, keep=False):
                    connection.send(framed, descriptors)
                    return connection, await connection.reply()
            except Unread:
                if not left:
                    raise
                self._drop_idle()  # they are of the same room
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _lent(self, connection: RoomConnection, keep: bool = True) -> AsyncIterator[None]:
        """What becomes of a connection after its use."""
        try:
            yield
        except StrataError:
            self._keep(connection)
            raise
        except BaseException:  # cancelled, or a stream that was left: the answer to come is nobody's
            connection.abort()
            raise
        if keep:
            self._keep(connection)

    def _drop_idle(self) -> None:
        for connection in tuple(self._idle):
            connection.abort()
        self._idle.clear()

    @contextlib.contextmanager
    def _counted(self, token: str) -> Iterator[None]:
        if self._per_token[token] >= self.limits.calls_per_token:
            most = self.limits.calls_per_token
            raise ResourceExhausted(f"cannot take more: {most} requests of this token are being answered; wait for one")
        self._per_token[token] += 1
        try:
            yield
        finally:
            self._per_token[token] -= 1
            if not self._per_token[token]:
                del self._per_token[token]

    async def _connection(self) -> RoomConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        connection = await connect(self.path, self._lost)
        self._open.add(connection)
        if not connection.usable:  # lost while it was being made, when nobody knew of it yet
            self._lost(connection)
        return connection

    def _keep(self, connection: RoomConnection) -> None:
        if connection.usable and len(self._idle) < self.limits.kept_room_connections:
            self._idle.append(connection)
        else:
            connection.abort()

    def _lost(self, connection: RoomConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


def _framed(method: str, params: Any, token: str) -> bytes:
    request = _Request(1, os.urandom(8).hex(), method, _Auth(token) if token else None, params)
    try:
        return frame.encode(_encode(request))
    except frame.FrameError as error:
        raise InvalidArgument(f"cannot pass the request on: {error}; send less") from error


def _result(payload: bytes | bytearray) -> _Reply:
    try:
        reply = _decode(payload)
    except UNREADABLE as error:
        raise Internal(f"the room answered with something that is no reply: {error}") from error
    if not reply.ok:
        raise _error(reply.error or _ErrorBody())
    return reply


def _error(body: _ErrorBody) -> StrataError:
    error = BY_CODE.get(body.code, Internal)(body.message)
    error.details = body.details
    return error

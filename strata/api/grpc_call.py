# SPDX-License-Identifier: MIT
"""One gRPC call: whose it is, its messages, and what becomes of an error."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias, cast

import msgspec
from google.protobuf.message import Message
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.server import Stream

from strata.api import statuses
from strata.api.door import Door
from strata.api.grpc_wire import BoundedBuffer
from strata.api.terminal import Show, Tell, Viewer
from strata.errors import Internal, InvalidArgument, StrataError

log = logging.getLogger(__name__)

_LONGEST_MESSAGE = 4096  # characters of a status message: it travels in a header


class Call:
    """What the functions of the services work with. Messages may be sent from several tasks: one is sent at a time."""

    def __init__(self, door: Door, stream: Stream[Any, Any]) -> None:
        """Raises Unauthenticated."""
        self.door = door
        self._stream = stream
        given = stream.metadata.getall("authorization", []) if stream.metadata else []
        self._token = door.token(str(value) for value in given)
        self._turn = asyncio.Lock()

    async def first(self) -> Any:
        """The message that begins the call. Raises InvalidArgument when it does not come."""
        message = await self.received("the first message")
        if message is None:
            raise InvalidArgument("cannot answer: the call carries no message")
        return message

    async def received(self, what: str) -> Any:
        """The next message, None after the last. Raises InvalidArgument when it takes too long, or ends too early."""
        try:
            async with asyncio.timeout(self.door.limits.body_seconds):
                return await self._stream.recv_message()
        except TimeoutError as error:
            seconds = f"{self.door.limits.body_seconds:g}"
            raise InvalidArgument(f"cannot go on: {what} did not come within {seconds} s") from error
        except AssertionError as error:  # so the library says that nothing followed the length
            raise InvalidArgument(f"cannot read {what}: it ends too early") from error

    async def messages(self) -> AsyncIterator[Any]:
        """Those that are still to come, however long they take."""
        async for message in self._stream:
            yield message

    async def send(self, message: Message) -> None:
        """Wait until the client has room for it."""
        with cast(BoundedBuffer, self._stream._stream.buffer).owing(message.ByteSize()):
            async with self._turn:
                await self._stream.send_message(message)

    async def ask(self, method: str, params: Any, descriptors: Sequence[int] = ()) -> Any:
        """A call to the room with the caller's own token. Raises StrataError."""
        return await self.door.room.call(method, params, self._token, descriptors)

    def viewer(self, params: dict[str, Any], show: Show, tell: Tell) -> Viewer:
        """Of a terminal, for the caller."""
        return Viewer(self.door, self._token, params, show, tell)

    async def follow(self, method: str, params: Any, descriptors: Sequence[int] = ()) -> AsyncGenerator[Any, None]:
        """A streaming call to the room. Raises StrataError."""
        async with contextlib.aclosing(self.door.room.stream(method, params, self._token, descriptors)) as frames:
            async for frame in frames:
                yield msgspec.json.decode(frame)


Function: TypeAlias = Callable[[Call], Awaitable[None]]


def answering(door: Door, function: Function) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
    """A grpclib handler: `function`, with every error told as a status of the one table."""

    async def handle(stream: Stream[Any, Any]) -> None:
        try:
            await function(Call(door, stream))
        except StrataError as error:
            await _fail(stream, error)
        except (GRPCError, StreamTerminatedError, NotImplementedError):
            raise
        except Exception:
            log.exception("cannot answer a gRPC call")
            await _fail(stream, Internal("internal error; the journal has the details"))

    return handle


def readable(
    function: Callable[[Stream[Any, Any]], Awaitable[None]],
) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
    """The same handler, of ours or of the library's; a message that the library cannot read is its sender's fault."""

    async def handle(stream: Stream[Any, Any]) -> None:
        try:
            await function(stream)
        except NotImplementedError:
            raise GRPCError(Status.UNIMPLEMENTED, "cannot read the message: it is compressed") from None
        except AssertionError as error:  # so health and reflection expect one
            raise GRPCError(Status.INVALID_ARGUMENT, "cannot read the message: there is none") from error

    return handle


async def _fail(stream: Stream[Any, Any], error: StrataError) -> None:
    await stream.send_trailing_metadata(
        status=Status(statuses.of(error).grpc),
        status_message=error.message[:_LONGEST_MESSAGE],
        metadata={"strata-code": str(error.code), "strata-name": error.name},
    )

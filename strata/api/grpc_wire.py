# SPDX-License-Identifier: MIT
"""HTTP/2 connections for grpclib, with the bounds that it leaves open: message sizes, floods, silence, bad frames.

RFC 9113 for the frames, gRPC's PROTOCOL-HTTP2.md for what they carry.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import h2.config
import h2.events
from google.protobuf.message import DecodeError
from grpclib.config import Configuration
from grpclib.const import Handler, Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import GRPCError
from grpclib.protocol import AbstractHandler, Buffer, H2Protocol, Stream
from grpclib.server import request_handler
from hpack import Encoder

from strata.api.held import Held, Share
from strata.api.limits import DoorLimits

log = logging.getLogger(__name__)

MESSAGE_BYTES = 4 * 1_048_576
"""Of one message a client sends: what gRPC's own servers take by default."""

STREAM_WINDOW = 1_048_576
CONNECTION_WINDOW = 4 * 1_048_576  # so much may wait here, unread by the calls of one connection
IDLE_SECONDS = 600.0  # a connection without calls; clients connect anew by themselves
RESETS = 200  # calls given up by the client before it said anything else; RFC 9113, 10.5: a flood
_H2 = h2.config.H2Configuration(
    client_side=False, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
)
TABLE_BYTES = 4096
"""Of header fields that one connection is answered with, kept so that they can be told by number: the size that RFC
7541 begins with. A client may allow more and need not be given it; what is told once only, such as errors, is kept too.
"""

# The window sizes above; the rest, such as 100 streams of a connection, are the library's own defaults.
_CONFIGURATION = Configuration(
    http2_connection_window_size=CONNECTION_WINDOW, http2_stream_window_size=STREAM_WINDOW
).__for_server__()
# Events that ask for nothing; the library would end the connection over them.
_IGNORED = (h2.events.UnknownFrameReceived, h2.events.AlternativeServiceAvailable)


class Codec(ProtoCodec):
    """Protobuf; bytes that are no message are the client's fault."""

    def decode(self, data: bytes, message_type: Any) -> Any:
        """Raises GRPCError."""
        try:
            return super().decode(data, message_type)
        except DecodeError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, f"cannot read the message: {error}") from error


class BoundedBuffer(Buffer):
    """What a client sent of one call. The library reads a message by the length that its prefix claims, and makes room
    for more as soon as it has seen a part: all of that is held."""

    def __init__(self, ack: Callable[[int], None], share: Share) -> None:
        super().__init__(ack)
        self._share, self._held = share, 0

    def add(self, data: bytes, ack_size: int) -> None:
        """More has come. Raises Unavailable."""
        self._held += len(data)
        self._share.grow(len(data))
        super().add(data, ack_size)

    @contextlib.contextmanager
    def owing(self, size: int) -> Iterator[None]:
        """While so many bytes wait for a client that may leave its window shut."""
        self._share.owe(size)
        try:
            yield
        finally:
            self._share.shrink(size)

    def release(self) -> None:
        """The call is over."""
        self._share.shrink(self._held)
        self._held = 0

    async def read(self, size: int) -> bytes:
        """`size` bytes, or none at the end. Raises GRPCError."""
        if size > MESSAGE_BYTES:
            says = f"cannot read a message of {size} bytes: it may have {MESSAGE_BYTES}"
            raise GRPCError(Status.RESOURCE_EXHAUSTED, says)
        try:
            data = await super().read(size)
        except AssertionError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, "cannot read the message: it ends too early") from error
        self._held -= len(data)
        self._share.shrink(len(data))
        return data


class BoundedEncoder(Encoder):
    """Whatever size of its table a client allows (RFC 7541, 4.2), it takes no more than TABLE_BYTES."""

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        self.header_table.maxsize = size = min(value, TABLE_BYTES)
        if self.header_table.resized:
            self.table_size_changes.append(size)


class Calls(AbstractHandler):
    """The running calls of one connection."""

    def __init__(self, mapping: Mapping[str, Handler], share: Share, changed: Callable[[], None]) -> None:
        """`changed` is called when there is a call more or less."""
        self._mapping, self._share, self._changed = dict(mapping), share, changed
        self._codec, self._events = Codec(), _DispatchServerEvents()
        self.tasks: dict[Stream, asyncio.Task[None]] = {}
        self.resets = 0

    def accept(self, stream: Stream, headers: Any, release_stream: Callable[[], Any]) -> None:
        stream.buffer = BoundedBuffer(functools.partial(stream.connection.ack, cast(int, stream.id)), self._share)
        work = request_handler(self._mapping, stream, headers, self._codec, None, self._events, release_stream)
        task = asyncio.get_running_loop().create_task(work)
        self.tasks[stream] = task
        task.add_done_callback(functools.partial(self._finished, stream))
        self._changed()

    def cancel(self, stream: Stream) -> None:
        self.resets += 1
        if task := self.tasks.get(stream):
            task.cancel()

    def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()

    def _finished(self, stream: Stream, task: asyncio.Task[None]) -> None:
        del self.tasks[stream]
        cast(BoundedBuffer, stream.buffer).release()
        if not task.cancelled() and (error := task.exception()):
            log.error("a call ended unexpectedly", exc_info=error)
        elif not task.cancelled():
            self.resets = 0  # it does wait for answers
        self._changed()


class Outlet(asyncio.Transport):
    """A transport as the library uses one. What is written to one that is closed goes nowhere, as with asyncio's own;
    uvloop's raises RuntimeError, and a call may be about to answer when its connection is lost."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def write(self, data: Any) -> None:
        """As the transport, while it is open."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """As the transport."""
        self._transport.close()

    def is_closing(self) -> bool:
        """As the transport."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the transport."""
        return self._transport.get_extra_info(name, default)


class Http2(H2Protocol):
    """One connection. `gone` is told when it is lost."""

    def __init__(
        self, mapping: Mapping[str, Handler], limits: DoorLimits, held: Held, gone: Callable[[Http2], None]
    ) -> None:
        self.share = held.share(self._abort)
        self.calls = Calls(mapping, self.share, self._watch_idleness)
        super().__init__(self.calls, _CONFIGURATION, _H2)
        self._limits, self._gone = limits, gone
        self._idle_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        super().connection_made(Outlet(self._transport))
        self.connection._connection.encoder = BoundedEncoder()
        for event in _IGNORED:
            self.processor.processors[event] = _ignore
        self._watch_idleness()

    def connection_lost(self, exc: BaseException | None) -> None:
        for timer in (self._idle_timer, self._write_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)
        self.share.release()
        self._gone(self)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception as error:  # noqa: BLE001  whatever a peer sends, it ends its own connection only
            log.info("dropping an HTTP/2 connection: %r", error)
            self._transport.abort()
            return
        if self.calls.resets > RESETS or self._begins_overlong_frame():
            log.info("dropping an HTTP/2 connection: a frame is too long, or too many calls were given up")
            self._transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._write_timer:
            self._write_timer = asyncio.get_running_loop().call_later(self._limits.write_seconds, self._transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

    def _begins_overlong_frame(self) -> bool:
        """h2 looks at a frame's length (RFC 9113, 4.2) when all of it is there: it would wait for 16 MiB."""
        waiting = self.connection._connection.incoming_buffer
        return len(waiting._data) >= 3 and int.from_bytes(waiting._data[:3], "big") > waiting.max_frame_size

    def _abort(self) -> None:
        self._transport.abort()

    def drop(self) -> None:
        """Close the connection; the calls on it are cancelled."""
        self.processor.close("the door is closing")

    def _watch_idleness(self) -> None:
        if self._idle_timer:
            self._idle_timer.cancel()
            self._idle_timer = None
        if not self.calls.tasks and not self._transport.is_closing():
            self._idle_timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._transport.close)


def _ignore(event: Any) -> None:
    """Nothing follows from it."""

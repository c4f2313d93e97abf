# SPDX-License-Identifier: MIT
"""The server side of the wire: many connections, each answered strictly in order, one call at a time (spec 1.3).

A method that answers at once is answered inside `data_received`, without a task: that is the fast path. Only a method
that awaits something gets a task, and the frames behind it wait their turn. Nothing a peer sends or fails to read can
take more than its share: every bound stands in LIMITS.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, cast

from strata.errors import Internal, InvalidArgument, PermissionDenied, ResourceExhausted, StrataError, Unauthenticated
from strata.sockets import frame, message, params, peer
from strata.sockets.method import Call, Method
from strata.types import Access, Peer

log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """Bounds of one server. Listed in docs/protocol.md; each has a test."""

    connections: int = 1024  # in all
    connections_per_uid: int = 256  # of one uid that is neither root nor ours
    queued_frames: int = 64  # waiting behind a running call of the same connection; then its bytes wait in the kernel
    partial_bytes: int = 32 * 1_048_576  # of unfinished frames, over all connections
    frame_seconds: float = 30.0  # from a frame's first byte to its last
    write_seconds: float = 30.0  # a peer that reads nothing for so long is dropped


LIMITS = Limits()
Gate = Callable[[Access, Call], Any]
"""Decides whether a call may go on: returns the claims of its token (or None), or raises 2 or 3."""

Denied = Callable[[Call, StrataError], None]
"""Told of every refusal (codes 2 and 3), for the audit."""


class Server:
    """One room behind one or more listening sockets."""

    def __init__(
        self, methods: Sequence[Method], room: Any, gate: Gate, denied: Denied, limits: Limits = LIMITS
    ) -> None:
        self.methods = {method.name: method for method in methods}
        self.room, self.gate, self.denied, self.limits = room, gate, denied, limits
        self.connections: set[_Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.per_uid: collections.Counter[int] = collections.Counter()
        self.partial_bytes = 0
        self._listeners: list[asyncio.AbstractServer] = []

    async def listen(self, sock: socket.socket) -> None:
        """Accept on `sock` (already bound and listening) until `close`."""
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_unix_server(lambda: _Connection(self), sock=sock))

    async def close(self, grace: float = 1.0) -> None:
        """Stop accepting, let running calls end for `grace` seconds, then cancel them and drop every connection."""
        for listener in self._listeners:
            listener.close()
        cancellable = {connection.task for connection in self.connections if connection.cancel_on_hangup}
        if waiting := self.tasks - cancellable:
            await asyncio.wait(waiting, timeout=grace)
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for connection in tuple(self.connections):
            connection.drop()
        await asyncio.sleep(0)  # lets the transports run their connection_lost

    def answer(self, call: Call, method: Method | None, request: message.Request) -> Any:
        """Result, awaitable or async iterator of a call. Raises StrataError."""
        if request.v != message.VERSION:
            raise InvalidArgument(f"unsupported protocol version {request.v}: this is version {message.VERSION}")
        if method is None:
            raise InvalidArgument(f"unknown method: {request.method}")
        claims = self.gate(method.access, call)
        return method.run(self.room, call._replace(claims=claims), params.read(method.params, request.params))

    def failure(self, call: Call, error: Exception) -> bytes:
        """The framed answer to a call that failed; the unexpected is logged whole and told as one plain sentence."""
        if not isinstance(error, StrataError):
            log.error("cannot answer %s (req_id %s)", call.method, call.req_id, exc_info=error)
            error = Internal("internal error; the journal has the details", req_id=call.req_id)
        elif isinstance(error, Unauthenticated | PermissionDenied):
            self.denied(call, error)
        return message.encode_error(call.req_id, error)

    def refusal(self, who: Peer, ours: int) -> StrataError | None:
        """Why this peer may not have one more connection, or None."""
        if len(self.connections) >= self.limits.connections:
            return ResourceExhausted(f"cannot accept: {self.limits.connections} connections are open; close some")
        if who.uid not in (0, ours) and self.per_uid[who.uid] >= self.limits.connections_per_uid:
            most = self.limits.connections_per_uid
            return ResourceExhausted(f"cannot accept: uid {who.uid} has {most} connections open; close some")
        return None


class _Connection(asyncio.Protocol):
    """One peer. Frames are taken in order; `_queue` holds those behind a call that is still running."""

    transport: asyncio.Transport
    peer: Peer

    def __init__(self, server: Server) -> None:
        self.server = server
        self.task: asyncio.Task[None] | None = None
        self.cancel_on_hangup = False
        self._decoder = frame.Decoder()
        self._queue: collections.deque[bytes] = collections.deque()
        self._held = 0
        self._clear_to_write: asyncio.Future[None] | None = None
        self._frame_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._counted = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        self.peer = peer.credentials(transport.get_extra_info("socket"))
        if refused := self.server.refusal(self.peer, os.geteuid()):
            self._say_and_close(refused)
            return
        self._counted = True
        self.server.connections.add(self)
        self.server.per_uid[self.peer.uid] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._hold(0)
        self._stop_timers()
        self._queue.clear()
        if self._counted:
            self.server.connections.discard(self)
            self.server.per_uid[self.peer.uid] -= 1
            if not self.server.per_uid[self.peer.uid]:
                del self.server.per_uid[self.peer.uid]
        if self._clear_to_write and not self._clear_to_write.done():
            self._clear_to_write.set_result(None)
        if self.task and self.cancel_on_hangup:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        try:
            payloads = self._decoder.feed(data)
        except frame.FrameError as error:
            log.info("dropping a connection of uid %s: %s", self.peer.uid, error)
            self.drop()
            return
        self._hold(len(self._decoder))
        for payload in payloads:
            self._take(payload)

    def pause_writing(self) -> None:
        loop = asyncio.get_running_loop()
        self._clear_to_write = loop.create_future()
        self._write_timer = loop.call_later(self.server.limits.write_seconds, self.drop)
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None
        if self._clear_to_write and not self._clear_to_write.done():
            self._clear_to_write.set_result(None)
        self._clear_to_write = None
        self._drain()

    def eof_received(self) -> bool:
        """A peer that half-closes still gets the answers to what it sent; a stream has nobody left to serve."""
        if self.task and not self.cancel_on_hangup:
            self.task.add_done_callback(lambda _: self.transport.close())
            return True
        return False

    # --- our own

    def drop(self) -> None:
        """Close now; what was not written is lost."""
        self.transport.abort()

    def _take(self, payload: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.task or self._clear_to_write:
            self._queue.append(payload)
            if len(self._queue) >= self.server.limits.queued_frames:
                self.transport.pause_reading()
            return
        self._begin(payload)

    def _begin(self, payload: bytes) -> None:
        try:
            request = message.decode_request(payload)
        except InvalidArgument as error:
            self._say_and_close(error)
            return
        server = self.server
        method = server.methods.get(request.method)
        call = Call(self.peer, request.req_id, request.method, request.auth.token if request.auth else "")
        try:
            outcome = server.answer(call, method, request)
            if not hasattr(outcome, "__await__") and not hasattr(outcome, "__aiter__"):
                self.transport.write(message.encode_result(call.req_id, outcome))
                return
        except Exception as error:  # noqa: BLE001  the daemon outlives any handler; `failure` logs what is unexpected
            self.transport.write(server.failure(call, error))
            return
        assert method is not None
        self.cancel_on_hangup = method.cancel
        self.task = asyncio.get_running_loop().create_task(self._finish(call, outcome))
        server.tasks.add(self.task)
        self.task.add_done_callback(self._finished)

    async def _finish(self, call: Call, outcome: Any) -> None:
        try:
            if hasattr(outcome, "__aiter__"):
                await self._stream(call, outcome)
            else:
                self._write(message.encode_result(call.req_id, await outcome))
        except Exception as error:  # noqa: BLE001  as in _begin
            self._write(self.server.failure(call, error))

    async def _stream(self, call: Call, items: AsyncIterator[Any]) -> None:
        async for item in items:
            self._write(message.encode_result(call.req_id, item, more=True))
            if self._clear_to_write:
                await self._clear_to_write
        self._write(message.encode_result(call.req_id, {}))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.server.tasks.discard(task)
        self.task = None
        self._drain()

    def _drain(self) -> None:
        while self._queue and not self.task and not self._clear_to_write and not self.transport.is_closing():
            self._begin(self._queue.popleft())
        if not self._clear_to_write and len(self._queue) < self.server.limits.queued_frames:
            self.transport.resume_reading()

    def _write(self, framed: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(framed)

    def _say_and_close(self, error: StrataError) -> None:
        self.transport.write(message.encode_error("", error))
        self.transport.close()

    def _hold(self, size: int) -> None:
        """Account for `size` bytes of an unfinished frame, and give it a deadline."""
        if size == self._held:
            return
        self.server.partial_bytes += size - self._held
        started, self._held = not self._held, size
        if not size:
            self._stop_frame_timer()
        elif self.server.partial_bytes > self.server.limits.partial_bytes:
            self._say_and_close(ResourceExhausted("cannot take more: too many unfinished frames are being sent"))
        elif started:
            loop = asyncio.get_running_loop()
            self._frame_timer = loop.call_later(self.server.limits.frame_seconds, self.drop)

    def _stop_frame_timer(self) -> None:
        if self._frame_timer:
            self._frame_timer.cancel()
            self._frame_timer = None

    def _stop_timers(self) -> None:
        self._stop_frame_timer()
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None

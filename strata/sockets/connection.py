# SPDX-License-Identifier: MIT
"""One peer of a server: its frames are taken in order, one call at a time (spec 1.3).

A method that answers at once is answered inside `data_received`, without a task: that is the fast path. Only a method
that awaits something gets a task, and the frames behind it wait, as bytes, until it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import Any, cast

from strata.errors import InvalidArgument, ResourceExhausted, StrataError, Unavailable
from strata.sockets import frame, message, peer
from strata.sockets.descriptors import Passed
from strata.sockets.host import Host
from strata.sockets.inbox import Inbox
from strata.sockets.letting_go import CLOSER
from strata.sockets.method import Call
from strata.types import Peer

log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """The state of one connection: bytes not answered yet, the running call, and its deadlines."""

    transport: asyncio.Transport
    peer: Peer

    def __init__(self, server: Host) -> None:
        self.server = server
        self.task: asyncio.Task[None] | None = None
        self.cancel_on_hangup = self.finishes = False
        self.heard = False  # a whole frame has come
        self._decoder = frame.Decoder()
        self._inbox: Inbox | None = None
        self._lent: tuple[int, ...] = ()  # descriptors of the running call
        self._held = 0  # what the server's budget knows of the decoder's bytes
        self._ended = False  # the peer will send no more
        self._paused = False  # we read no more for now
        self._turn: asyncio.Handle | None = None  # frames that wait for the next turn of the loop
        self._clear_to_write: asyncio.Future[None] | None = None
        self._frame_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        self.peer = peer.credentials(transport.get_extra_info("socket"))
        ours = os.geteuid()
        self._inbox = self.server.inbox(self.peer, ours)
        if refused := self.server.admit(self, ours):
            self._say_and_close(refused)

    def connection_lost(self, exc: Exception | None) -> None:
        for handle in (self._turn, self._frame_timer, self._write_timer):
            if handle:
                handle.cancel()
        self._turn = self._frame_timer = self._write_timer = None
        self._account(0)
        self._close_inbox()
        self.server.release_answers(self)
        self.server.forget(self)
        self._release_writers()
        if self.task and self.cancel_on_hangup:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        busy = self._turn or self.task or self._clear_to_write or self.server.closing
        if not busy and (payload := self._decoder.alone(data)):
            self._begin(payload)  # the usual case: nothing waits, and one whole frame came in one piece
            return
        self._decoder.push(data)
        if busy:
            self._settle(answered=0)
        else:
            self._pump()

    def descriptors_received(self, data: bytes, passed: Passed) -> None:
        """A piece that came with descriptors: they belong to the last frame that has bytes in it."""
        if self._inbox is None or self.transport.is_closing():
            CLOSER.close(passed.descriptors)
            self.data_received(data)  # who takes none serves the call without them
        elif refused := self._inbox.put(passed, self._decoder.ahead(data)):
            self._say_and_close(refused)
        else:
            self.data_received(data)

    def pause_writing(self) -> None:
        loop = asyncio.get_running_loop()
        self._clear_to_write = loop.create_future()
        if not self._write_timer:
            self._write_timer = loop.call_later(self.server.limits.write_seconds, self.drop)
        self.server.hold_answers(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self.server.release_answers(self)
        if self._write_timer and not self.transport.is_closing():
            self._write_timer.cancel()
            self._write_timer = None
        self._release_writers()
        self._schedule()

    def eof_received(self) -> bool:
        """A peer that half-closes still gets the answers to what it sent; a stream has nobody left to serve."""
        self._ended = True
        if self.task and self.cancel_on_hangup:
            return False
        self._settle(answered=0)
        return True

    # --- for the server

    def close(self) -> None:
        """Close once the peer has read what was written; a peer that does not is dropped in `write_seconds`."""
        self._close_inbox()
        self.transport.close()
        if not self._write_timer:
            loop = asyncio.get_running_loop()
            self._write_timer = loop.call_later(self.server.limits.write_seconds, self.drop)

    def read_no_more(self) -> None:
        """Leave what comes from now on to the kernel."""
        if not self._paused and not self.transport.is_closing():
            self._read_on(False)

    def drop(self) -> None:
        """Close now; what was not written is lost."""
        self.transport.abort()

    # --- frames

    def _pump(self) -> None:
        """Answer the frames that wait, up to one turn's worth, as long as nothing has to be waited for."""
        self._turn, answered, most = None, 0, self.server.limits.frames_per_turn
        while not (self.task or self._clear_to_write or self.server.closing or self.transport.is_closing()):
            if answered == most:
                self._schedule()
                break
            try:
                payload = self._decoder.next()
            except frame.FrameError as error:
                log.info("dropping a connection of uid %s: %s", self.peer.uid, error)
                self.close()
                return
            if payload is None:
                break
            answered += 1
            self._begin(payload)
        if self._held or self._ended or self._paused or len(self._decoder):
            self._settle(answered)

    def _schedule(self) -> None:
        if not self._turn and not self.transport.is_closing():
            self._turn = asyncio.get_running_loop().call_soon(self._pump)

    def _settle(self, answered: int) -> None:
        """Account for the bytes that are left, and decide whether to read on, to set a deadline, or to close."""
        if self.transport.is_closing():
            return
        left = len(self._decoder)
        ours = bool(self._turn or self.task or self._clear_to_write)  # then it is not the peer who is slow
        if not self._account(left):
            self._say_and_close(ResourceExhausted("cannot take more: too many unfinished frames are being sent"))
            return
        if self._ended and not ours:
            self.close()
            return
        self._read_on(not (self.server.closing or (ours and self._crowded(left))))
        self._expect_rest(bool(left) and not ours, restart=answered > 0)

    def _crowded(self, left: int) -> bool:
        limits, inbox = self.server.limits, self._inbox
        return left >= limits.waiting_bytes or (inbox is not None and len(inbox) >= limits.waiting_descriptors)

    def _account(self, size: int) -> bool:
        """Tell the server's budget that `size` bytes are held here; whether that fits."""
        grown = size > self._held
        self.server.partial_bytes += size - self._held
        self._held = size
        return not grown or self.server.partial_bytes <= self.server.limits.partial_bytes

    def _read_on(self, wanted: bool) -> None:
        if wanted and self._paused:
            self.transport.resume_reading()
        elif not wanted and not self._paused:
            self.transport.pause_reading()
        self._paused = not wanted

    def _expect_rest(self, wanted: bool, restart: bool) -> None:
        """Give the unfinished frame its deadline; each frame has one of its own."""
        if self._frame_timer and (restart or not wanted):
            self._frame_timer.cancel()
            self._frame_timer = None
        if wanted and not self._frame_timer:
            loop = asyncio.get_running_loop()
            self._frame_timer = loop.call_later(self.server.limits.frame_seconds, self.drop)

    # --- calls

    def _begin(self, payload: bytes | bytearray) -> None:
        self.heard = True
        if self._inbox is not None:
            self._lent = self._inbox.take()
        self._answer(payload)
        if self._lent and not self.task:
            self._take_back()

    def _take_back(self) -> None:
        lent, self._lent = self._lent, ()
        CLOSER.close(lent)

    def _close_inbox(self) -> None:
        if self._inbox is not None:
            self._inbox.clear()

    def _answer(self, payload: bytes | bytearray) -> None:
        try:
            request = message.decode_request(payload)
        except InvalidArgument as error:
            self._say_and_close(error)
            return
        server = self.server
        method = server.methods.get(request.method)
        token = request.auth.token if request.auth else ""
        call = Call(self.peer, request.req_id, request.method, token, None, self._lent)
        try:
            outcome = server.answer(call, method, request)
            if type(outcome) is dict or not (hasattr(outcome, "__await__") or hasattr(outcome, "__aiter__")):
                self.transport.write(message.encode_result(call.req_id, outcome))
                return
        except Exception as error:  # noqa: BLE001  the daemon outlives any handler; `failure` logs what is unexpected
            self.transport.write(server.failure(call, error))
            return
        assert method is not None
        self.cancel_on_hangup, self.finishes = method.cancel, method.finish
        self.task = asyncio.get_running_loop().create_task(self._finish(call, outcome))
        server.tasks.add(self.task)
        self.task.add_done_callback(self._finished)

    async def _finish(self, call: Call, outcome: Any) -> None:
        try:
            if hasattr(outcome, "__aiter__"):
                await self._stream(call, outcome)
            else:
                self._write(message.encode_result(call.req_id, await outcome))
        except asyncio.CancelledError:
            self._write(self.server.failure(call, Unavailable("cannot answer: the work was cancelled; try again")))
            raise
        except Exception as error:  # noqa: BLE001  as in _begin
            self._write(self.server.failure(call, error))

    async def _stream(self, call: Call, items: AsyncIterator[Any]) -> None:
        async with contextlib.AsyncExitStack() as stack:
            if hasattr(items, "aclose"):
                stack.push_async_callback(items.aclose)  # its `finally` runs now, not when it is collected
            async for item in items:
                if self.transport.is_closing():
                    return
                self._write(message.encode_result(call.req_id, item, more=True))
                # A source that never waits would keep the loop to itself.
                await (self._clear_to_write or asyncio.sleep(0))
        self._write(message.encode_result(call.req_id, {}))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.server.tasks.discard(task)
        self._take_back()
        self.task = None
        self._pump()

    def _release_writers(self) -> None:
        if self._clear_to_write and not self._clear_to_write.done():
            self._clear_to_write.set_result(None)
        self._clear_to_write = None

    def _write(self, framed: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(framed)

    def _say_and_close(self, error: StrataError) -> None:
        self.transport.write(message.encode_error("", error))
        self.close()

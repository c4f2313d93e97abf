# SPDX-License-Identifier: MIT
"""HTTP/1 connections: uvicorn's protocol over httptools, with bounds on what a client may send, and how slowly."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidMessage, InvalidState

from strata.api import framing
from strata.api.held import Held
from strata.api.limits import LIMITS, DoorLimits
from strata.api.mount import Asgi

EARLY_BYTES = 65_536
"""A client may send so many before its upgrade is answered, which it should wait for (RFC 6455, 4.1)."""

_DISCARDED = 64 * 1_048_576  # bytes of a body that nobody wanted, read so that its client gets to read the answer
_ABNORMAL = 1006  # the code of a WebSocket that ended without one
_GRACE = 3.0  # seconds for running requests at the end


class Upgraded(WebSocketsSansIOProtocol):
    """A WebSocket, from its upgrade on, for clients that do not keep to RFC 6455."""

    _early = b""  # what came before the upgrade was answered; taken at once, it would be answered before that

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.transport.abort()
            return
        self._take(data)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self._early and self.handshake_complete and not self.transport.is_closing():
            early, self._early = self._early, b""
            self._take(early)

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:  # it was wrong before there was anything to close
            self._give_up()
        else:
            super().handle_parser_exception()

    def _take(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except InvalidState:  # a message that is no text, and with it a close frame, which counts already
            self._give_up()

    def _give_up(self) -> None:
        self.queue.put_nowait({"type": "websocket.disconnect", "code": _ABNORMAL})
        self.close_sent = True
        self.transport.abort()

    @property
    def wrong(self) -> tuple[int, str] | None:
        """Status and sentence for what cannot be read as an upgrade: the library neither answers nor ends it."""
        error = self.conn.handshake_exc
        if error is None or self.transport.is_closing():
            return None
        if isinstance(error, InvalidMessage):
            return 400, "this is no upgrade to a WebSocket"
        return 431, "the headers are too large"  # more than 128 of them, or one of more than 8 KiB


def _own_fault(record: logging.LogRecord) -> bool:
    """Of what the library logs as errors two are a client's: a text message of a WebSocket that is no text, and an
    upgrade that was refused with a response of ours."""
    return not str(record.msg).startswith(("Invalid UTF-8", "ASGI callable returned without completing handshake"))


class HttpProtocol(HttpToolsProtocol):
    """One connection. `watcher` is called when it is lost, so that what was begun for its client ends."""

    def __init__(self, config: Config, state: ServerState, limits: DoorLimits, held: Held) -> None:
        super().__init__(config=config, server_state=state, app_state={})
        self.limits = limits
        self.share = held.share(self._drop)
        self.watcher: Callable[[], object] | None = None
        self.lost = False
        self.ended = asyncio.Event()  # set when it is lost
        self._head = 0  # bytes of the request line and headers that are being read; -1 when they are complete
        self._why = (400, "this is no HTTP request")  # what the parser stops for
        self._unwanted = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    # --- what comes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "too many connections are open; try again in a moment")

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._stop(self._deadline)
        elif self._head >= 0 or self.cycle.more_body:
            self._expect_more()
        elif self._deadline:
            self._stop(self._deadline)
            self._deadline = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["strata.connection"] = self  # type: ignore[typeddict-unknown-key]
        self._head = 0

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head < 0:
            return  # a trailer, which is none of the headers (RFC 9110, 6.5.1): whoever checked those has not seen it
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if wrong := framing.wrong(self.parser.get_http_version(), self.headers):
            self._why = (400, wrong)
            raise ValueError
        framing.addressed(self.url, self.headers)
        self._head = -1
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self.cycle and self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > _DISCARDED:
                self.transport.abort()
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        if wrong := cast(Upgraded, self.transport.get_protocol()).wrong:
            self._refuse(*wrong)

    def send_400_response(self, msg: str) -> None:
        self._end(*self._why)

    # --- what goes

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(self._stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.ended.set()
        self._stop(self._deadline)
        self._stop(self._stalled)
        super().connection_lost(exc)
        if self.watcher:
            self.watcher()

    # --- bounds

    def _drop(self) -> None:
        self.transport.abort()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > self.limits.header_bytes:
            self._why = (431, "the headers are too large")
            raise ValueError  # the parser stops, and send_400_response says why

    def _expect_more(self) -> None:
        """A deadline for the rest of the head as a whole, or for the next piece of the body."""
        if self._head < 0:
            self._stop(self._deadline)
            self._deadline = self.loop.call_later(self.limits.body_seconds, self._too_slow)
        elif not self._deadline:
            self._deadline = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self._head < 0 and self.flow.read_paused:
            self._expect_more()  # it is we who do not read
        else:
            self._end(408, "the request did not come in time")

    def _end(self, status: int, sentence: str) -> None:
        """Refuse what is being read, unless that would be taken for the answer to an earlier request, or its rest."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and (self.pipeline or self._head >= 0 or self.cycle.response_started):
            self.transport.abort()
        else:
            self._refuse(status, sentence)

    def _refuse(self, status: int, sentence: str) -> None:
        body = f"{sentence}\n".encode()
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer:
            timer.cancel()


class Http1:
    """The HTTP/1 side of the door, WebSockets included."""

    def __init__(self, app: Asgi, limits: DoorLimits = LIMITS) -> None:
        self._limits = limits
        self._held = Held(limits.held_bytes)
        self._state = ServerState()
        self._config = Config(
            app,
            http="httptools",
            ws=Upgraded,
            ws_max_size=limits.message_bytes,
            ws_ping_interval=limits.ping_seconds,
            ws_ping_timeout=limits.ping_seconds,
            ws_per_message_deflate=False,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=int(limits.idle_seconds),
        )
        self._config.load()
        # What clients do wrong is told to them; only our own faults are logged.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        logging.getLogger("uvicorn.error").addFilter(_own_fault)
        logging.getLogger("uvicorn.access").disabled = True

    def protocol(self) -> asyncio.Protocol:
        """The protocol of one more connection."""
        return HttpProtocol(self._config, self._state, self._limits, self._held)

    async def close(self) -> None:
        """Let running requests end, a short while, then close every connection, which cancels them."""
        for connection in tuple(self._state.connections):
            connection.shutdown()
        await self._wait(_GRACE)
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        await self._wait(_GRACE)
        for task in tuple(self._state.tasks):
            task.cancel()
        await asyncio.sleep(0)  # lets the transports run their connection_lost

    async def _wait(self, seconds: float) -> None:
        if tasks := tuple(self._state.tasks):
            await asyncio.wait(tasks, timeout=seconds)

# SPDX-License-Identifier: MIT
"""A WebSocket as a handler sees it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping

from strata.api import answering, credentials, statuses
from strata.api.door import Door
from strata.api.exchange import Reply, Request
from strata.api.mount import Message, Receive, Scope, Send
from strata.api.routing import Route
from strata.errors import StrataError

NORMAL = 1000
_REASON_BYTES = 123  # of a close frame (RFC 6455, 5.5.1)


class WebSocket:
    """One connection, its path already matched. Text comes and goes as str, binary as bytes."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        self.door, self.scope = door, scope
        self.path: Mapping[str, str] = {}
        self.route: Route | None = None
        self._receive, self._send = receive, send
        self.accepted = False
        self.opened = asyncio.Event()  # set when the upgrade is answered
        self._over = False

    @property
    def request(self) -> Request:
        """The upgrade request, for its headers and its query."""
        assert self.route
        return Request(self.door, self.scope, self._receive, self.route, self.path)

    @functools.cached_property
    def token(self) -> str:
        """The caller's token, from the header or the subprotocols. Raises Unauthenticated."""
        return self.door.token(self.request.values(b"authorization"), self.scope["subprotocols"])

    async def connected(self) -> None:
        """Take ASGI's first event, which says nothing."""
        await self._receive()

    async def accept(self) -> None:
        """Answer the upgrade. The token among the subprotocols is never echoed."""
        name = credentials.SUBPROTOCOL
        chosen = name if name in self.scope["subprotocols"] else None
        self.accepted = True
        await self._tell({"type": "websocket.accept", "subprotocol": chosen, "headers": []})
        self.opened.set()

    async def receive(self) -> str | bytes | None:
        """The next message; None when the client is gone."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._over = True
            return None
        text: str | None = message.get("text")
        data: bytes = message.get("bytes") or b""
        return data if text is None else text

    async def send(self, data: str | bytes) -> None:
        """Send one message; waits while the client reads slowly. Nothing happens when it is gone."""
        kind = "text" if isinstance(data, str) else "bytes"
        await self._tell({"type": "websocket.send", kind: data})

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Send a close frame, if none was sent or received yet."""
        short = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        await self._tell({"type": "websocket.close", "code": code, "reason": short})
        self._over = True

    async def refuse(self, reply: Reply) -> None:
        """Answer the upgrade with a plain response."""
        headers = [(b"content-type", reply.media.encode()), (b"connection", b"close")]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in reply.headers]
        body = reply.body if isinstance(reply.body, bytes) else b""
        headers.append((b"content-length", b"%d" % len(body)))
        await self._tell({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
        await self._tell({"type": "websocket.http.response.body", "body": body})
        self._over = True

    async def fail(self, error: StrataError) -> None:
        """End with an error: as a response before the upgrade, as a close frame after it."""
        if self.accepted:
            await self.close(statuses.of(error).websocket, error.message)
        else:
            await self.refuse(answering.error_reply(error))

    async def _tell(self, message: Message) -> None:
        if self._over:
            return
        try:
            await self._send(message)
        except OSError:  # uvicorn's ClientDisconnected is one (ASGI spec 2.4: send raises OSError)
            self._over = True

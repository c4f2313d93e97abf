# SPDX-License-Identifier: MIT
"""The door's ASGI application: guard, route, answer."""

from __future__ import annotations

import asyncio
import logging

from strata.api import answering, guard
from strata.api.answering import Headers
from strata.api.door import Door
from strata.api.exchange import Reply, Request
from strata.api.mount import Asgi, Message, Receive, Scope, Send
from strata.api.reading import Gone
from strata.api.routing import WEBSOCKET, Found, Router
from strata.api.websocket import WebSocket
from strata.errors import StrataError

log = logging.getLogger(__name__)

NOT_FOUND = answering.text_reply(404, "404 page not found")
_MCP = b"/mcp"
_MOVED = Reply(b"", 301, answering.TEXT, (("location", "/mcp/"),))
_UPGRADE = answering.text_reply(400, "Bad Request: this is a WebSocket", ("upgrade", "websocket"))


class App:
    """Callable as ASGI; `mcp` answers everything below /mcp/."""

    def __init__(self, door: Door, router: Router, mcp: Asgi) -> None:
        self.door, self.router, self.mcp = door, router, mcp
        self._origins = frozenset(door.settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or one WebSocket."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    # --- HTTP

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            origin = guard.check(scope, self._origins)
        except StrataError as error:
            await answering.answer(answering.error_reply(error), send, [])
            return
        raw_path: bytes = scope["raw_path"]
        serve = self._mcp if raw_path.startswith(b"/mcp/") else self._ours
        try:
            await serve(scope, receive, send, _shared_with(origin))
        finally:
            scope["strata.connection"].share.release()

    async def _mcp(self, scope: Scope, receive: Receive, send: Send, extra: Headers) -> None:
        async def sharing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        if extra and scope["method"] == "OPTIONS":  # a page asks whether it may ask, and shows no credentials yet
            await answering.answer(_preflight("GET, POST, DELETE, OPTIONS"), send, extra)
        else:
            await self.mcp(scope, receive, sharing if extra else send)

    async def _ours(self, scope: Scope, receive: Receive, send: Send, extra: Headers) -> None:
        """Answer; a client that hangs up cancels what was begun for it (the connection calls `watcher`)."""
        connection, task = scope["strata.connection"], asyncio.current_task()
        connection.watcher = task.cancel if task else None
        try:
            reply = await self._reply(scope, receive)
            if isinstance(reply.body, bytes) and len(reply.body) > answering.PIECE:
                connection.share.owe(len(reply.body))
            await answering.answer(reply, send, extra, head=scope["method"] == "HEAD")
        except (Gone, asyncio.CancelledError):
            if not connection.lost:
                raise
        except answering.Broken as broken:
            log.info("a reply ended early: %s", broken)
            connection.watcher = None
            connection.transport.abort()
            await connection.ended.wait()
        finally:
            connection.watcher = None

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        verb, raw_path = scope["method"], scope["raw_path"]
        try:
            if raw_path == _MCP:
                return _MOVED
            found = self.router.find("GET" if verb == "HEAD" else verb, raw_path)
            if found is None or found.route is None:
                return _no_route(found, verb)
            request = Request(self.door, scope, receive, found.route, found.path)
            reply: Reply = await found.route.handle(request)
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001  the last one who can tell the client
            return answering.error_reply(answering.unexpected(error, f"{verb} {raw_path[:200]!r}"))
        return reply

    # --- WebSocket

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(self.door, scope, receive, send)
        await socket.connected()
        try:
            guard.check(scope, self._origins)
            found = self.router.find(WEBSOCKET, scope["raw_path"])
            if found is None or found.route is None:
                await socket.refuse(NOT_FOUND)
                return
            socket.path, socket.route = found.path, found.route
            await found.route.handle(socket)
        except Exception as error:  # noqa: BLE001  the last one who can tell the client
            await socket.fail(answering.unexpected(error, f"the WebSocket {scope['raw_path'][:200]!r}"))


def _no_route(found: Found | None, verb: str) -> Reply:
    if found is None:
        return NOT_FOUND
    if WEBSOCKET in found.verbs and verb in ("GET", "HEAD"):
        return _UPGRADE
    allowed = ", ".join(["GET, HEAD" if name in ("GET", WEBSOCKET) else name for name in found.verbs] + ["OPTIONS"])
    if verb == "OPTIONS":
        return _preflight(allowed)
    return answering.text_reply(405, "Method Not Allowed", ("allow", allowed))


def _preflight(verbs: str) -> Reply:
    """What a page may send (Fetch, 3.3.3)."""
    allowed = (("access-control-allow-methods", verbs), ("access-control-allow-headers", "*, authorization"))
    return Reply(b"", 204, answering.TEXT, (("allow", verbs), *allowed))


def _shared_with(origin: str) -> Headers:
    """What lets an allowed page of another origin read the answer (Fetch, 3.3)."""
    if not origin:
        return []
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"*"),
        (b"vary", b"origin"),
    ]

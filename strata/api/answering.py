# SPDX-License-Identifier: MIT
"""Replies and errors as HTTP responses."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from strata.api import statuses
from strata.api.exchange import Reply
from strata.api.mount import Send
from strata.errors import Internal, ResourceExhausted, StrataError, Unauthenticated, Unavailable

log = logging.getLogger(__name__)

TEXT = "text/plain; charset=utf-8"
PIECE = 262_144
"""Bytes given to the connection at once: the rest of an answer waits until its client has read."""

Headers = list[tuple[bytes, bytes]]

# What is answered is about one moment and one caller (RFC 9111, 5.2.2.5), and is what its type says, nothing else.
_ALWAYS: Headers = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Broken(Exception):
    """A reply that was begun cannot be ended."""


def error_body(error: StrataError) -> dict[str, Any]:
    """The predecessor's `{"error": message}` and, beside it, what a program wants."""
    body: dict[str, Any] = {"error": error.message, "code": error.code, "name": error.name}
    return body | {"details": error.details} if error.details else body


def http_status(error: StrataError) -> int:
    """Its own (413, 416), or that of its row in the table."""
    own: int = getattr(error, "http", 0)
    return own or statuses.of(error).http


def error_reply(error: StrataError) -> Reply:
    """An error as JSON, with what HTTP wants said of it."""
    headers: tuple[tuple[str, str], ...] = getattr(error, "headers", ())
    if isinstance(error, Unauthenticated):
        headers += (("www-authenticate", 'Bearer realm="strata"'),)  # RFC 9110, 11.6.1
    if isinstance(error, Unavailable | ResourceExhausted):
        headers += (("retry-after", "1"),)
    return Reply(msgspec.json.encode(error_body(error)), http_status(error), headers=headers)


def unexpected(error: Exception, what: str) -> StrataError:
    """Any exception as one of the eight; what is none of them is our own fault, logged whole and told plainly."""
    if isinstance(error, StrataError):
        return error
    log.error("cannot answer %s", what, exc_info=error)
    return Internal("internal error; the journal has the details")


def text_reply(status: int, text: str, *headers: tuple[str, str]) -> Reply:
    """A sentence for people; the predecessor answers unknown paths and verbs so."""
    return Reply(f"{text}\n".encode(), status, TEXT, headers)


async def answer(reply: Reply, send: Send, extra: Headers, head: bool = False) -> None:
    """Send a reply, or only its `head`. Raises Broken for a body that fails in the middle: the connection must end, so
    that the client sees that it is not whole."""
    headers = [*_ALWAYS, (b"content-type", reply.media.encode())]
    headers += [(name.encode(), value.encode("latin-1")) for name, value in reply.headers]
    headers += extra
    if isinstance(reply.body, bytes):
        if reply.status != 204 and not any(name == "content-length" for name, _ in reply.headers):
            headers.append((b"content-length", b"%d" % len(reply.body)))  # RFC 9110, 8.6
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for at in range(PIECE, len(reply.body), PIECE):
            await send({"type": "http.response.body", "body": reply.body[at - PIECE : at], "more_body": True})
        await send({"type": "http.response.body", "body": reply.body[(len(reply.body) - 1) // PIECE * PIECE :]})
        return
    async with contextlib.aclosing(reply.body) as pieces:
        await _stream(reply.status, headers, pieces if not head else _nothing(), send)


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for piece in nothing:
        yield piece


async def _stream(status: int, headers: Headers, pieces: AsyncIterator[bytes], send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    try:
        async for piece in pieces:
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except StrataError as error:
        raise Broken(error.message) from error
    await send({"type": "http.response.body", "body": b""})

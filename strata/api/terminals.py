# SPDX-License-Identifier: MIT
"""Terminals over WebSockets.

Ours: binary messages are raw bytes, both ways; text messages are JSON about the terminal. The predecessor's (spec 2.6):
JSON text with `type` and `data`, whose bytes are decoded so that no character is ever split.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from strata.api import answering, bodies, statuses
from strata.api.forwarding import forward
from strata.api.predecessor import identity
from strata.api.routing import WEBSOCKET, Route
from strata.api.terminal import Size, Typed, Viewer
from strata.api.websocket import WebSocket
from strata.errors import InvalidArgument

_TERMINALS = "/api/v1/sessions/{owner}/{session}/terminals"


class Control(msgspec.Struct, forbid_unknown_fields=True):
    """A text message of a client of ours."""

    resize: bodies.Resize


class Message(msgspec.Struct):
    """A message of a client of the predecessor's."""

    type: str = ""
    data: str = ""
    rows: int = 0
    cols: int = 0


_control = msgspec.json.Decoder(Control)
_message = msgspec.json.Decoder(Message)


async def attach(web: WebSocket) -> None:
    """The upgrade is answered when the room has attached; what it refuses is a plain response."""
    token = web.token
    params = dict(web.path) | msgspec.to_builtins(web.request.options(bodies.Attach))

    async def tell(attached: dict[str, Any]) -> None:
        if not web.accepted:
            await web.accept()
        await web.send(_json({"attached": attached}))

    ended = await Viewer(web.door, token, params, web.send, tell).view(_typed(web))
    if ended:
        await web.send(_json(ended))
    await web.close()


async def _typed(web: WebSocket) -> AsyncIterator[Typed]:
    await web.opened.wait()
    while (message := await web.receive()) is not None:
        if isinstance(message, bytes):
            yield message
            continue
        try:
            size = _control.decode(message).resize
        except msgspec.DecodeError as error:
            raise InvalidArgument(f"cannot read the message: {error}") from error
        yield Size(size.rows, size.cols)


async def shell(web: WebSocket) -> None:
    """The predecessor's: terminal `main`; upgraded at once, errors are messages."""
    token = web.token
    ids = identity(web.request)
    await web.accept()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def show(data: bytes) -> None:
        if text := decoder.decode(data):
            await web.send(_json({"type": "output", "data": text}))

    async def tell(attached: dict[str, Any]) -> None:
        """It has no message for that."""

    try:
        ended = await Viewer(web.door, token, ids, show, tell).view(_old_typed(web))
    except Exception as raised:  # noqa: BLE001  told in its own way, then as for all
        error = answering.unexpected(raised, "a shell")
        await web.send(_json({"type": "error", "data": error.message}))
        await web.close(statuses.of(error).websocket, error.message)
        return
    if ended:
        await web.send(_json({"type": "error", "data": "session closed"}))
    await web.close()


async def _old_typed(web: WebSocket) -> AsyncIterator[Typed]:
    while (raw := await web.receive()) is not None:
        try:
            message = _message.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # what is no message is ignored (spec 2.6)
        if message.type == "input" and message.data:
            yield message.data.encode()
        elif message.type == "resize":
            yield Size(message.rows, message.cols)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


ROUTES = (
    Route("GET", _TERMINALS, forward, "Terminals", "sandbox.terminals"),
    Route(
        WEBSOCKET,
        _TERMINALS + "/{terminal}",
        attach,
        "A terminal: binary messages are raw bytes, text messages are JSON: `attached`, `ended`; `resize`",
        "sandbox.attach",
        query=bodies.Attach,
    ),
    Route(
        "POST", _TERMINALS + "/{terminal}/resize", forward, "Resize a terminal", "sandbox.resize", body=bodies.Resize
    ),
    Route("DELETE", _TERMINALS + "/{terminal}", forward, "Hang up a terminal", "sandbox.hangup"),
    Route(
        WEBSOCKET,
        "/api/ws/{owner}/{session}/shell",
        shell,
        "The session's main terminal, with the predecessor's JSON messages",
        "sandbox.attach",
    ),
    Route(
        WEBSOCKET,
        "/api/ws/shell",
        shell,
        "The same; owner and session stand in X-Owner-Id and X-Session-Id",
        "sandbox.attach",
    ),
)

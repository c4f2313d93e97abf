# SPDX-License-Identifier: MIT
"""Streams of events: one JSON object a line (NDJSON), or server-sent events for who asks for text/event-stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from strata.api import answering
from strata.api.exchange import Reply, Request, primed
from strata.api.forwarding import parameters
from strata.errors import StrataError

NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
MEDIA = (NDJSON, SSE)
PATIENCE = 1.0  # seconds in which a stream may still fail with a status; then it has begun
_HEARTBEAT = 15.0  # seconds; a comment that shows that both sides are still there

Frames = AsyncGenerator[bytes, None]


async def follow(request: Request) -> Reply:
    """The handler of routes that stream."""
    token = request.token
    params = await parameters(request)
    return await reply(request, request.door.room.stream(request.route.method, params, token))


async def reply(request: Request, frames: Frames) -> Reply:
    """A reply that begins when the first event is there, or after a second without one. Raises StrataError."""
    first = asyncio.ensure_future(anext(frames))
    try:
        await asyncio.wait({first}, timeout=PATIENCE)
        if first.done() and isinstance(error := first.exception(), StrataError):
            raise error
    except BaseException:
        await _left(first, frames)
        raise
    sse = request.accepts(SSE)
    return Reply(await primed(_pieces(first, frames, sse)), media=SSE if sse else NDJSON)


async def _pieces(pending: asyncio.Future[bytes], frames: Frames, sse: bool) -> AsyncGenerator[bytes, None]:
    try:
        yield b""
        while True:
            await asyncio.wait({pending}, timeout=_HEARTBEAT)
            if not pending.done():
                if sse:
                    yield b":\n\n"
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            yield b"data: " + event + b"\n\n" if sse else event + b"\n"
            pending = asyncio.ensure_future(anext(frames))
    except StrataError as error:
        body = msgspec.json.encode(answering.error_body(error))
        yield b"event: error\ndata: " + body + b"\n\n" if sse else body + b"\n"
    finally:
        await _left(pending, frames)


async def _left(pending: asyncio.Future[Any], frames: Frames) -> None:
    pending.cancel()
    try:
        await asyncio.gather(pending, return_exceptions=True)
    finally:  # also when the client hangs up just now, which cancels this
        await frames.aclose()

# SPDX-License-Identifier: MIT
"""Files of a session. Contents pass through pipes, piece by piece, whatever their size."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from strata.api import bodies, events, framed, results
from strata.api.beside import together
from strata.api.events import PATIENCE
from strata.api.exchange import Reply, Request, primed
from strata.api.forwarding import forward, parameters
from strata.api.framed import PIECE, STDOUT, Frames
from strata.api.pipes import ReadEnd
from strata.api.ranges import Part, part
from strata.api.routing import Route
from strata.api.upload import upload
from strata.errors import Conflict

BYTES = "application/octet-stream"
TAR = "application/x-tar"
# What a session wrote must not act as a page of this server, whatever it looks like.
_ATTACHED = (("content-disposition", "attachment"),)
_SESSION = "/api/v1/sessions/{owner}/{session}"


async def put(request: Request) -> Reply:
    """The body becomes the file, once all of it is there."""
    token = request.token
    params: dict[str, Any] = dict(request.path) | msgspec.to_builtins(request.options(bodies.Put))
    if request.length is not None:
        params["size"] = request.length
    room = request.door.room
    return Reply(await upload(lambda fd: room.raw("sandbox.put", params, token, [fd]), request.chunks()))


async def get(request: Request) -> Reply:
    """A file, or a part of it; framed with its sum at the end for who asks for that."""
    token = request.token
    at = await parameters(request)
    if request.accepts(framed.MEDIA):
        return await _framed(request, "sandbox.get", at)
    about: dict[str, Any] = await request.door.room.call("sandbox.stat", at, token)
    if about.get("kind") != "file":  # a link, whose target has a size of its own; else the room says what it is
        return Reply(await _begun(_piped(request, "sandbox.get", at)), media=BYTES, headers=_ATTACHED)
    wanted = part(_range(request, about), about["size"])
    if request.head or not wanted.length:
        return _file(b"", wanted, about)
    params = at | {"offset": wanted.start, "size": wanted.length}
    return _file(await _begun(_piped(request, "sandbox.get", params, wanted.length)), wanted, about)


def _tag(about: dict[str, Any]) -> str:
    return f'"{about["size"]:x}-{about.get("mtime")}"'


def _range(request: Request, about: dict[str, Any]) -> str:
    """The Range header, unless it was meant for the file as it was before (RFC 9110, 13.1.5)."""
    before = request.header(b"if-range")
    return request.header(b"range") if before in ("", _tag(about)) else ""


def _file(body: bytes | AsyncGenerator[bytes, None], wanted: Part, about: dict[str, Any]) -> Reply:
    headers: tuple[tuple[str, str], ...] = (
        ("content-length", str(wanted.length)),
        ("accept-ranges", "bytes"),
        ("etag", _tag(about)),
        *_ATTACHED,
    )
    if wanted.whole:
        return Reply(body, media=BYTES, headers=headers)
    return Reply(body, 206, BYTES, (*headers, ("content-range", wanted.content_range)))


async def export(request: Request) -> Reply:
    """A tar archive of the session's root, or of what is below a path."""
    _ = request.token
    params = await parameters(request)
    if request.accepts(framed.MEDIA):
        return await _framed(request, "sandbox.export", params)
    return Reply(await _begun(_piped(request, "sandbox.export", params)), media=TAR)


async def _framed(request: Request, method: str, params: dict[str, Any]) -> Reply:
    frames = Frames()

    async def work() -> bytes:
        ours, theirs = os.pipe()
        source = ReadEnd(ours)
        try:
            return await together(_asked(request, method, params, theirs, source), frames.pump(STDOUT, source))
        finally:
            source.close()
            os.close(theirs)

    return await frames.reply(work())


async def _asked(request: Request, method: str, params: dict[str, Any], theirs: int, source: ReadEnd) -> bytes:
    result = await request.door.room.raw(method, params, request.token, [theirs])
    source.finish()
    return result


async def _piped(
    request: Request, method: str, params: dict[str, Any], length: int | None = None
) -> AsyncGenerator[bytes, None]:
    """What the room writes into a pipe. Raises what it answers, at the latest when the bytes have ended."""
    ours, theirs = os.pipe()
    source = ReadEnd(ours)
    asked = asyncio.create_task(_asked(request, method, params, theirs, source))
    sent = 0
    try:
        asked.add_done_callback(lambda _: source.finish())
        while piece := await source.read(PIECE):
            sent += len(piece)
            yield piece
        await asked
        if length is not None and sent != length:
            raise Conflict(f"the file changed while it was read: {sent} bytes of {length} came")
    finally:
        asked.cancel()  # from here on it touches no descriptor, however long it takes
        source.close()
        os.close(theirs)
        await asyncio.gather(asked, return_exceptions=True)


async def _begun(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same pieces, once the first of them is there: what fails before has a status of its own."""
    first = asyncio.ensure_future(anext(pieces, b""))
    try:
        await asyncio.wait({first}, timeout=PATIENCE)
        if first.done():
            first.result()
    except BaseException:
        await _left(first, pieces)
        raise
    return await primed(_rest(first, pieces))


async def _rest(first: asyncio.Future[bytes], pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        yield b""
        yield await first
        async for piece in pieces:
            yield piece
    finally:
        await _left(first, pieces)


async def _left(first: asyncio.Future[bytes], pieces: AsyncGenerator[bytes, None]) -> None:
    first.cancel()
    try:
        await asyncio.gather(first, return_exceptions=True)
    finally:  # also when the client hangs up just now, which cancels this
        await pieces.aclose()


ROUTES = (
    Route(
        "PUT",
        _SESSION + "/files",
        put,
        "Write a file: the body is its content; it appears whole or not at all",
        "sandbox.put",
        query=bodies.Put,
        sends=(BYTES,),
        result=results.Written,
    ),
    Route(
        "GET",
        _SESSION + "/files",
        get,
        "Read a file, or the part that Range names",
        "sandbox.get",
        query=bodies.At,
        answers=(BYTES, framed.MEDIA),
        parts=True,
    ),
    Route("DELETE", _SESSION + "/files", forward, "Remove", "sandbox.remove", query=bodies.Remove),
    Route(
        "GET",
        _SESSION + "/entries",
        forward,
        "List a directory",
        "sandbox.files",
        query=bodies.Listing,
        result=results.Entries,
    ),
    Route("GET", _SESSION + "/stat", forward, "What is at a path", "sandbox.stat", query=bodies.At),
    Route("POST", _SESSION + "/mkdir", forward, "Make a directory", "sandbox.mkdir", body=bodies.Mkdir),
    Route("POST", _SESSION + "/move", forward, "Move or rename", "sandbox.move", body=bodies.Move),
    Route(
        "GET",
        _SESSION + "/watch",
        events.follow,
        "Changes below a path, as they happen",
        "sandbox.watch",
        query=bodies.Watch,
        answers=events.MEDIA,
    ),
    Route("GET", _SESSION + "/diff", forward, "What changed against the base", "sandbox.diff", query=bodies.Diff),
    Route(
        "GET",
        _SESSION + "/export",
        export,
        "A tar archive of the root, or of what is below a path",
        "sandbox.export",
        query=bodies.Export,
        answers=(TAR, framed.MEDIA),
    ),
)

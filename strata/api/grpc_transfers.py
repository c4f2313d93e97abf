# SPDX-License-Identifier: MIT
"""Bytes that stream through pipes: files and archives, any size, never held whole."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

from strata.api.beside import beside, together
from strata.api.grpc_call import Call
from strata.api.grpc_messages import filled, params_of
from strata.api.pipes import ReadEnd, WriteEnd
from strata.api.proto.strata.v1 import sandbox_pb2 as v1
from strata.errors import InvalidArgument

log = logging.getLogger(__name__)

CHUNK = 262_144
_ABANDON_SECONDS = 30.0


async def put(call: Call) -> None:
    """First `start`, then data, until the client half-closes."""
    first = await call.first()
    if not first.HasField("start"):
        raise InvalidArgument("cannot put a file: the first message must be `start`")
    theirs, ours = os.pipe()
    source, whole = WriteEnd(ours), False
    try:
        try:
            result = await beside(call.ask("sandbox.put", params_of(first.start), [theirs]), _upload(call, source))
            whole = True
        finally:
            os.close(theirs)
            # The room takes the end of the pipe for the end of the file, so half a file must not come to it.
            if not whole and not await source.abandoned(_ABANDON_SECONDS):
                log.error("a broken-off upload was still being read after %g s", _ABANDON_SECONDS)
    finally:
        source.close()
    await call.send(filled(v1.PutReply, result))


async def _upload(call: Call, source: WriteEnd) -> None:
    with contextlib.suppress(BrokenPipeError):  # then the room says why it reads no more
        while (message := await call.received("the next piece of the file")) is not None:
            if message.HasField("start"):
                raise InvalidArgument("cannot put a file: `start` is for the first message only")
            await source.write(message.data)
        source.close()


async def get(call: Call) -> None:
    """A file, then what it was."""
    await _download(call, "sandbox.get")


async def export(call: Call) -> None:
    """A tar archive, then what it was."""
    await _download(call, "sandbox.export")


async def _download(call: Call, method: str) -> None:
    params = params_of(await call.first())
    ours, theirs = os.pipe()
    target = ReadEnd(ours)

    async def asked() -> Any:
        result = await call.ask(method, params, [theirs])
        target.finish()
        return result

    async def sent() -> None:
        while data := await target.read(CHUNK):
            await call.send(v1.FileChunk(data=data))

    try:
        result = await together(asked(), sent())
    finally:
        target.close()
        os.close(theirs)
    await call.send(v1.FileChunk(end=filled(v1.FileInfo, result)))

# SPDX-License-Identifier: MIT
"""Bytes that stream through pipes: files and archives, any size, never held whole."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from strata.api.beside import together
from strata.api.grpc_call import Call
from strata.api.grpc_messages import filled, params_of
from strata.api.pipes import ReadEnd
from strata.api.proto.strata.v1 import sandbox_pb2 as v1
from strata.api.upload import upload
from strata.errors import InvalidArgument

CHUNK = 262_144


async def put(call: Call) -> None:
    """First `start`, then data, until the client half-closes."""
    first = await call.first()
    if not first.HasField("start"):
        raise InvalidArgument("cannot put a file: the first message must be `start`")
    params = params_of(first.start)
    result = await upload(lambda fd: call.ask("sandbox.put", params, [fd]), _pieces(call))
    await call.send(filled(v1.PutReply, result))


async def _pieces(call: Call) -> AsyncIterator[bytes]:
    while (message := await call.received("the next piece of the file")) is not None:
        if message.HasField("start"):
            raise InvalidArgument("cannot put a file: `start` is for the first message only")
        yield message.data


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

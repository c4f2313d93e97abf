# SPDX-License-Identifier: MIT
"""Terminals over gRPC: the predecessor's Shell and ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from strata.api.grpc_call import Call
from strata.api.grpc_messages import filled, params_of
from strata.api.proto import sandbox_pb2 as old
from strata.api.proto.strata.v1 import sandbox_pb2 as v1
from strata.api.terminal import Size, Typed
from strata.errors import InvalidArgument

_QUIET_SECONDS = 0.3
_LINGER_SECONDS = 5.0


async def shell(call: Call) -> None:
    """First `start`, then what is typed; answers what is attached, what the terminal shows, and how it ended."""
    first = await call.first()
    if not first.HasField("start"):
        raise InvalidArgument("cannot attach: the first message must be `start`")
    screen = _Screen(call)

    async def show(data: bytes) -> None:
        await screen.show(v1.ShellOutput(data=data))

    async def tell(attached: dict[str, Any]) -> None:
        await screen.show(v1.ShellOutput(attached=filled(v1.Attached, attached)))

    ended = await call.viewer(params_of(first.start), show, tell).view(_typed(call, screen))
    if ended:
        await call.send(v1.ShellOutput(ended=filled(v1.ShellEnded, ended)))


async def _typed(call: Call, screen: _Screen) -> AsyncIterator[Typed]:
    async for message in call.messages():
        if message.HasField("start"):
            raise InvalidArgument("cannot go on: `start` is for the first message only")
        yield Size(message.resize.rows, message.resize.cols) if message.HasField("resize") else message.data
    await screen.quiet()


async def old_shell(call: Call) -> None:
    """The predecessor's: the first message carries the ids and nothing else that counts (spec 2.8)."""
    first = await call.first()
    if not first.ownerID or not first.sessionID:
        raise InvalidArgument("owner_id and session_id required in first message")
    screen = _Screen(call)

    async def show(data: bytes) -> None:
        await screen.show(old.ShellOutput(data=data))

    async def tell(attached: dict[str, Any]) -> None:
        """There is no message for that."""

    ids = {"owner": first.ownerID, "session": first.sessionID}
    ended = await call.viewer(ids, show, tell).view(_old_typed(call, screen))
    if ended:
        await call.send(old.ShellOutput(closed=True, error=str(ended.get("error", ""))))


async def _old_typed(call: Call, screen: _Screen) -> AsyncIterator[Typed]:
    async for message in call.messages():
        resized = message.HasField("resize")
        yield Size(message.resize.rows, message.resize.cols) if resized else message.stdinData
    await screen.quiet()


class _Screen:
    """Where the terminal's output goes, and whether some came lately."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._shown = asyncio.Event()

    async def show(self, message: Message) -> None:
        self._shown.set()
        await self._call.send(message)
        self._shown.set()

    async def quiet(self) -> None:
        """The client will type no more: wait, a while, until what it typed last has been answered."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while True:
                    self._shown.clear()
                    async with asyncio.timeout(_QUIET_SECONDS):
                        await self._shown.wait()

# SPDX-License-Identifier: MIT
"""The asyncio client: how one room talks to another."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from strata.errors import InvalidArgument, Unavailable
from strata.sockets import frame
from strata.sockets.client import error_of, new_req_id


class AsyncClient:
    """One connection; calls are made one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path) -> None:
        self._reader, self._writer, self.path = reader, writer, path
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path, timeout: float = 5.0) -> AsyncClient:
        """Connect within `timeout` seconds. Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_unix_connection(path, limit=frame.MAX_PAYLOAD + 4)
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"cannot reach {path}: {str(error) or 'no answer in time'}") from error
        return cls(reader, writer, path)

    async def call(self, method: str, params: Any = None, token: str = "", timeout: float | None = 10.0) -> Any:
        """The `result` of a call. Raises the StrataError it answered, or Unavailable.

        After Unavailable the connection is closed: a late answer must not be taken for the next one's.
        """
        request: dict[str, Any] = {"v": 1, "req_id": new_req_id(), "method": method, "params": params or {}}
        if token:
            request["auth"] = {"token": token}
        try:
            framed = frame.encode(msgspec.json.encode(request))
        except frame.FrameError as error:
            raise InvalidArgument(f"cannot call {method}: {error}; send less") from error
        async with self._turn:
            try:
                async with asyncio.timeout(timeout):
                    reply = await self._exchange(framed)
            except (OSError, TimeoutError, EOFError, frame.FrameError, msgspec.DecodeError) as error:
                self.close()
                raise Unavailable(f"cannot reach {self.path}: {str(error) or 'no answer in time'}") from error
            except asyncio.CancelledError:
                self.close()
                raise
        if not reply.get("ok"):
            raise error_of(reply)
        return reply.get("result")

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _exchange(self, framed: bytes) -> dict[str, Any]:
        self._writer.write(framed)
        await self._writer.drain()
        size = frame.payload_size(await self._reader.readexactly(4))
        return msgspec.json.decode(await self._reader.readexactly(size), type=dict[str, Any])


async def call(path: Path, method: str, params: Any = None, token: str = "", timeout: float = 10.0) -> Any:
    """One call over a connection of its own. Raises StrataError."""
    client = await AsyncClient.connect(path, timeout)
    try:
        return await client.call(method, params, token, timeout)
    finally:
        client.close()

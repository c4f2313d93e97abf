# SPDX-License-Identifier: MIT
"""Many calls at once to one service: each has a connection of its own, and connections are used again."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from strata.errors import ResourceExhausted
from strata.sockets.async_client import AsyncClient

MOST = 192  # below what a service grants one uid (limits.py), so that other programs of that user get in too
MOST_IDLE = 32


class Pool:
    """Connections to the service at `path`, made as they are needed, `most` at once."""

    def __init__(self, path: Path, most: int = MOST) -> None:
        self.path, self._most = path, most
        self._idle: list[AsyncClient] = []
        self._busy: set[AsyncClient] = set()
        self._coming = 0
        self._closed = False

    async def call(
        self,
        method: str,
        params: Any = None,
        token: str = "",
        timeout: float | None = 10.0,
        descriptors: Sequence[int] = (),
    ) -> Any:
        """As AsyncClient.call. Raises ResourceExhausted too, when `most` calls are under way."""
        async with self._connection() as client:
            return await client.call(method, params, token, timeout, descriptors)

    async def stream(
        self,
        method: str,
        params: Any = None,
        token: str = "",
        timeout: float | None = None,
        descriptors: Sequence[int] = (),
    ) -> AsyncGenerator[Any, None]:
        """As AsyncClient.stream: close it (contextlib.aclosing), and the work is cancelled."""
        async with (
            self._connection() as client,
            contextlib.aclosing(client.stream(method, params, token, timeout, descriptors)) as items,
        ):
            async for item in items:
                yield item

    def close(self) -> None:
        """Hang up everywhere; calls under way end as Unavailable."""
        self._closed = True
        for client in (*self._idle, *self._busy):
            client.close()
        self._idle.clear()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncClient]:
        client = await self._take()
        self._busy.add(client)
        try:
            yield client
        finally:
            self._busy.discard(client)
            self._give_back(client)

    async def _take(self) -> AsyncClient:
        while self._idle:
            client = self._idle.pop()
            if client.alive():
                return client
            client.close()
        if len(self._busy) + self._coming >= self._most:
            raise ResourceExhausted(f"cannot call: {self._most} calls to {self.path.name} are under way; try again")
        self._coming += 1
        try:
            return await AsyncClient.connect(self.path)
        finally:
            self._coming -= 1

    def _give_back(self, client: AsyncClient) -> None:
        if self._closed or len(self._idle) >= MOST_IDLE or client.closed:
            client.close()
        else:
            self._idle.append(client)

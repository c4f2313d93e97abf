# SPDX-License-Identifier: MIT
"""The way over the room's own socket, for asyncio."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple

from strata.client.descriptors import in_memory, large
from strata.client.place import Place
from strata.client.transport import Params
from strata.errors import InvalidArgument
from strata.sockets.pool import Pool


class AsyncLine(NamedTuple):
    """A terminal: raw bytes both ways, what was told first about it, and what is told later."""

    socket: socket.socket
    first: Any
    events: AsyncGenerator[Any, None]


class AsyncTransport:
    """Results are those of the room's methods, as JSON values; whatever goes wrong is a StrataError."""

    def __init__(self, place: Place) -> None:
        if place.url:
            raise InvalidArgument("cannot use HTTP from AsyncClient: give a socket's path, or use Client in a thread")
        self._place = place
        self._pool = Pool(place.socket)

    async def call(self, method: str, params: Params, patient: bool = False, descriptors: Sequence[int] = ()) -> Any:
        """The answer, within the client's time-out unless `patient`. Cancelling it cancels the work."""
        timeout = None if patient else self._place.timeout
        if method != "sandbox.exec":
            return await self._pool.call(method, params, self._place.token, timeout, descriptors)
        with in_memory() as fd:  # for output that no frame can carry
            answer = await self._pool.call(method, params, self._place.token, timeout, (fd,))
            return large(answer, fd)

    def stream(self, method: str, params: Params, descriptors: Sequence[int] = ()) -> AsyncGenerator[Any, None]:
        """Items as they come. Closing it ends the work."""
        return self._pool.stream(method, params, self._place.token, descriptors=descriptors)

    async def attach(self, params: Params) -> AsyncLine:
        """sandbox.attach."""
        ours, theirs = socket.socketpair()
        events = self.stream("sandbox.attach", params, (theirs.fileno(),))
        try:
            with theirs:  # closed here once the room has it, or nobody could see that the room closed it
                return AsyncLine(ours, await anext(events, None), events)
        except BaseException:
            ours.close()
            await events.aclose()
            raise

    def close(self) -> None:
        """Give up all connections."""
        self._pool.close()

# SPDX-License-Identifier: MIT
"""How many calls are at the room at once, and whose turn it is when that many are: first come, first served, but a few
places are kept for calls that are answered at once, for which nobody else's long one is to be waited."""

from __future__ import annotations

import asyncio
import collections

from strata.api.limits import DoorLimits
from strata.errors import Unavailable


class Turns:
    """Places to be taken and given back."""

    def __init__(self, limits: DoorLimits) -> None:
        self._limits = limits
        self._taken = 0
        self._slow: collections.deque[asyncio.Future[None]] = collections.deque()
        self._quick: collections.deque[asyncio.Future[None]] = collections.deque()

    async def take(self, quick: bool) -> None:
        """Take a place, at once or in turn. Raises Unavailable when that lasts too long or too many wait already."""
        queue = self._quick if quick else self._slow
        if not queue and self._free(quick):
            self._taken += 1
        else:
            await self._wait(queue)

    def give_back(self) -> None:
        """The place goes to who is next."""
        self._taken -= 1
        self._call_next()

    def _free(self, quick: bool) -> bool:
        kept = 0 if quick else self._limits.reserved_room_connections
        return self._taken < self._limits.room_connections - kept

    def _call_next(self) -> None:
        for queue, quick in ((self._quick, True), (self._slow, False)):
            while queue and self._free(quick):
                turn = queue.popleft()
                if not turn.done():
                    self._taken += 1
                    turn.set_result(None)

    async def _wait(self, queue: collections.deque[asyncio.Future[None]]) -> None:
        if len(self._slow) + len(self._quick) >= self._limits.waiting_calls:
            raise Unavailable("cannot take more: too many requests are waiting; try again in a moment")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                await turn
        except TimeoutError as error:
            self._leave(turn, queue)
            raise Unavailable("cannot answer now: every way to the room is in use; try again in a moment") from error
        except BaseException:
            self._leave(turn, queue)
            raise

    def _leave(self, turn: asyncio.Future[None], queue: collections.deque[asyncio.Future[None]]) -> None:
        if turn in queue:
            queue.remove(turn)
        elif turn.done() and not turn.cancelled():
            self.give_back()  # it was called just now

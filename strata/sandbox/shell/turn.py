# SPDX-License-Identifier: MIT
"""Whose turn it is: one at a time, in the order in which they asked, and only so many wait."""

from __future__ import annotations

import asyncio
from collections import deque

from strata.errors import ResourceExhausted


class Turn:
    """Free at first."""

    def __init__(self, most: int) -> None:
        """`most` may wait."""
        self._most = most
        self._taken = False
        self._queue: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def seize(self) -> None:
        """Take it now, when it is known to be free."""
        assert not self._taken
        self._taken = True

    async def take(self) -> None:
        """Wait for it. Raises ResourceExhausted when too many do."""
        if not self._taken:
            self._taken = True
            return
        if len(self._queue) >= self._most:
            raise ResourceExhausted(f"cannot run: {len(self._queue)} commands of this session wait; try again later")
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self.give()  # it was handed over in the very moment
            elif mine in self._queue:
                self._queue.remove(mine)
            raise

    def give(self) -> None:
        """It is the next one's."""
        while self._queue:
            first = self._queue.popleft()
            if not first.done():
                first.set_result(None)
                return
        self._taken = False

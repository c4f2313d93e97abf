# SPDX-License-Identifier: MIT
"""A reader that takes a breath now and then, so that who floods us has a small share of the event loop.

What is read is bounded by what a pipe or a terminal holds; a flood fills it again at once, and would keep the loop
busy for as long as it likes. With a rest after each burst it costs some percent of a cpu, and waits for us instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

BURST_BYTES = 65_536
REST_SECONDS = 0.001


class PacedReader:
    """Calls `read` when the descriptor is readable; it returns how many bytes it took. Does not own the descriptor."""

    def __init__(self, fd: int, read: Callable[[], int]) -> None:
        self._fd, self._read = fd, read
        self._loop = asyncio.get_running_loop()
        self._wanted = False
        self._burst = 0
        self._rest: asyncio.TimerHandle | None = None

    def listen(self, wanted: bool) -> None:
        """Whether to read; not, before the descriptor is closed."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if self._rest and not wanted:
            self._rest.cancel()
            self._rest = None
        elif wanted:
            self._loop.add_reader(self._fd, self._readable)
        else:
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        self._burst += self._read()
        if self._burst >= BURST_BYTES and self._wanted:
            self._burst = 0
            self._loop.remove_reader(self._fd)
            self._rest = self._loop.call_later(REST_SECONDS, self._again)

    def _again(self) -> None:
        self._rest = None
        self._loop.add_reader(self._fd, self._readable)

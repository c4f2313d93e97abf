# SPDX-License-Identifier: MIT
"""The way into a session: its first process, in whose namespaces every other one of it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

from strata.errors import NotFound
from strata.sandbox.launcher import channel


class Entrance:
    """Owns the descriptors that are held as long as the session: `init` is a pidfd of its first process, -1 until that
    runs; `exchange` is the directory at /run/strata inside, which Strata writes to and the sandbox reads."""

    def __init__(self, exchange: int, init: int = -1) -> None:
        self.exchange, self.init = exchange, init
        self._waiting: list[socket.socket] = []
        self._settled = asyncio.Event()
        if init >= 0:
            self._settled.set()

    def open(self, init: int) -> None:
        """The first process runs: who waits may come in. Takes the pidfd over."""
        self.init = init
        self._settle()

    def close(self) -> None:
        """Nobody comes in any more."""
        os.close(self.exchange)
        if self.init >= 0:
            os.close(self.init)
        self.exchange = self.init = -1
        self._settle()

    async def opened(self) -> None:
        """Returns once the first process runs. Raises NotFound when it never will."""
        await self._settled.wait()
        if self.init < 0:
            raise NotFound("session not found")

    @contextlib.contextmanager
    def passed(self) -> Iterator[int]:
        """What a process of the launcher is given to come in by: the pidfd, or a socket that it will come over."""
        if self._settled.is_set():
            yield self.init
            return
        ours, theirs = socket.socketpair()
        self._waiting.append(ours)
        with theirs:
            yield theirs.fileno()

    def _settle(self) -> None:
        for sock in self._waiting:
            with sock, contextlib.suppress(OSError):  # it has ended
                if self.init >= 0:
                    channel.send(sock, {"open": True}, [self.init])
        self._waiting.clear()
        self._settled.set()

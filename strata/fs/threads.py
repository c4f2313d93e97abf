# SPDX-License-Identifier: MIT
"""Threads for what may wait for a disk. A capability, with all that was made from it, gets a few of them: a hung mount
stops only those who use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
IN_ALL = 32
PER_FAMILY = 8


class Threads:
    """A bounded pool with a bounded share for each family of capabilities."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(IN_ALL, "fs")
        self._tasks: set[asyncio.Task[Any]] = set()
        self.open = True
        self._turns: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}

    async def run(self, family: str, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread as soon as it is the family's turn."""
        semaphore, users = self._turns.setdefault(family, (asyncio.Semaphore(PER_FAMILY), []))
        users.append(None)
        try:
            async with semaphore:
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            users.pop()
            if not users:
                self._turns.pop(family, None)

    def start(self, family: str, work: Callable[[], T]) -> asyncio.Task[T]:
        """As `run`, for work that nobody waits for."""
        task = asyncio.get_running_loop().create_task(self.run(family, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self) -> None:
        """Start nothing more; what runs is not waited for."""
        self.open = False
        self._pool.shutdown(wait=False, cancel_futures=True)

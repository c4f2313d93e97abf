# SPDX-License-Identifier: MIT
"""Threads for what may wait for a disk. A capability gets a few of them: a hung mount stops only those who use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
IN_ALL = 32
PER_CAPABILITY = 8


class Threads:
    """A bounded pool with a bounded share for each capability."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(IN_ALL, "fs")
        self._turns: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}

    async def run(self, cap_id: str, work: Callable[[], T]) -> T:
        """The result of `work`, run in a thread as soon as it is the capability's turn."""
        semaphore, users = self._turns.setdefault(cap_id, (asyncio.Semaphore(PER_CAPABILITY), []))
        users.append(None)
        try:
            async with semaphore:
                return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            users.pop()
            if not users:
                self._turns.pop(cap_id, None)

    def close(self) -> None:
        """Start nothing more; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

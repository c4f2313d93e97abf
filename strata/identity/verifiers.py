# SPDX-License-Identifier: MIT
"""The services that follow our revocations: who is waiting for news, and who has confirmed which revision."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Hashable
from typing import NamedTuple

LIVE = 1.0
"""Seconds after its last poll for which a verifier is waited for: between two polls it is not asking."""
PATIENCE = 1.0
"""Seconds that a revocation waits for them at most."""
RETURNING = 1.0
"""Seconds after the first request of a restarted identity in which verifiers may be on their way that it does not know
yet: they try again at once, and then wait in the socket's queue like everybody else."""


class _Seen(NamedTuple):
    acknowledged: int
    polling: bool
    at: float


class Verifiers:
    """Bookkeeping of long polls. A verifier is any hashable key that stays the same over its polls. `restarted`: there
    may be some that followed our predecessor."""

    def __init__(self, restarted: bool = False) -> None:
        self._restarted = restarted
        self._complete = 0.0  # time.monotonic() from which on all that live are known; 0 before the first request
        self._seen: dict[Hashable, _Seen] = {}
        self._news = asyncio.Event()
        self._heard = asyncio.Event()

    def tell(self) -> None:
        """Wake all who wait for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, seconds: float) -> None:
        """Wait until something changed, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    @contextlib.asynccontextmanager
    async def polling(self, key: Hashable, since: int) -> AsyncIterator[None]:
        """While the verifier's poll is being answered. Its coming with `since` acknowledges all up to it."""
        self._note(key, _Seen(since, True, time.monotonic()))
        try:
            yield
        except asyncio.CancelledError:  # it hung up
            del self._seen[key]
            self._hear()
            raise
        self._note(key, _Seen(since, False, time.monotonic()))

    async def confirmed(self, revision: int, patience: float = PATIENCE) -> int:
        """Wait, at most `patience` seconds, until all live verifiers have confirmed `revision`; how many have not."""
        self._begin()
        deadline = time.monotonic() + patience
        self._forget_the_dead()
        waited = set(self._seen)
        while (now := time.monotonic()) < deadline:
            returning = now < self._complete
            waited = self._behind({*waited, *self._seen} if returning else waited, revision)
            if not waited and not returning:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((deadline if waited else min(deadline, self._complete)) - now):
                    await self._heard.wait()
        return len(self._behind(waited, revision))

    def _behind(self, keys: set[Hashable], revision: int) -> set[Hashable]:
        return {key for key in keys if key in self._seen and self._seen[key].acknowledged < revision}

    def _forget_the_dead(self) -> None:
        oldest = time.monotonic() - LIVE
        for key in [key for key, seen in self._seen.items() if not seen.polling and seen.at < oldest]:
            del self._seen[key]

    def _begin(self) -> None:
        self._complete = self._complete or time.monotonic() + (RETURNING if self._restarted else 0.0)

    def _note(self, key: Hashable, seen: _Seen) -> None:
        self._begin()
        self._forget_the_dead()
        self._seen[key] = seen
        self._hear()

    def _hear(self) -> None:
        self._heard.set()
        self._heard = asyncio.Event()

# SPDX-License-Identifier: MIT
"""The services that follow our revocations: who they are, and which revision each has confirmed.

A verifier counts until its process has ended, and by nothing else: one that is stopped, that is between two polls or
two connections, or that has not come back yet after a restart of ours goes on to accept tokens.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping

from strata.errors import InvalidArgument, ResourceExhausted
from strata.identity.lifetimes import Lifetimes, Verifier

PATIENCE = 1.0
"""Seconds that a revocation waits for them at most."""
RETURNING = 1.0
"""Seconds after the first request of a restarted identity in which verifiers may be on their way of which systemd kept
nothing: they try again at once, and then wait in the socket's queue like everybody else."""
MOST = 128
"""Verifiers at a time; FileDescriptorStoreMax= of identity's manifest must allow as many."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Verifiers:
    """Who has confirmed what. `restarted`: there may be some that followed our predecessor; `kept`: what systemd kept
    of those (sockets.listen.stored)."""

    def __init__(self, restarted: bool = False, kept: Mapping[str, int] | None = None) -> None:
        self._restarted = restarted
        self._complete = 0.0  # time.monotonic() from which on all that live are known; 0 before the first request
        self._news = asyncio.Event()
        self._heard = asyncio.Event()
        self._lifetimes = Lifetimes(self._forget)
        self._acknowledged: dict[Verifier, int] = dict.fromkeys(self._lifetimes.resume(kept or {}), 0)

    def close(self) -> None:
        """Watch nobody any more; systemd keeps what it has of them for our successor."""
        self._lifetimes.close()

    def tell(self) -> None:
        """Wake all who wait for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self, seconds: float) -> None:
        """Wait until something changed, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def acknowledge(self, verifier: Verifier, revision: int) -> None:
        """It has taken all up to `revision`, and is waited for until its process ends.

        Raises InvalidArgument for an odd name and for a process that cannot be seen from here, ResourceExhausted when
        there are too many.
        """
        self._begin()
        if verifier not in self._acknowledged:
            self._admit(verifier)
        self._acknowledged[verifier] = revision
        self._hear()

    async def confirmed(self, revision: int, patience: float = PATIENCE) -> int:
        """Wait, at most `patience` seconds, until all verifiers have confirmed `revision`; how many have not."""
        self._begin()
        deadline = time.monotonic() + patience
        waited = set(self._acknowledged)
        while (now := time.monotonic()) < deadline:
            returning = now < self._complete
            waited = self._behind({*waited, *self._acknowledged} if returning else waited, revision)
            if not waited and not returning:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((deadline if waited else min(deadline, self._complete)) - now):
                    await self._heard.wait()
        return len(self._behind(waited, revision))

    def _admit(self, verifier: Verifier) -> None:
        if not _NAME.fullmatch(verifier.name):
            raise InvalidArgument(
                "verifier must have 1 to 64 letters, digits, dots, hyphens and underscores", param="verifier"
            )
        if not verifier.pid:
            raise InvalidArgument(
                "cannot wait for a verifier in another PID namespace, whose end would not be seen: "
                "leave `verifier` out to read along",
                param="verifier",
            )
        if len(self._acknowledged) >= MOST:
            raise ResourceExhausted(
                f"cannot wait for more than {MOST} verifiers: let processes that follow revocations end, "
                "or leave `verifier` out to read along"
            )
        self._lifetimes.watch(verifier)

    def _behind(self, verifiers: set[Verifier], revision: int) -> set[Verifier]:
        return {one for one in verifiers if self._acknowledged.get(one, revision) < revision}

    def _begin(self) -> None:
        self._complete = self._complete or time.monotonic() + (RETURNING if self._restarted else 0.0)

    def _forget(self, verifier: Verifier) -> None:
        self._acknowledged.pop(verifier, None)
        self._hear()

    def _hear(self) -> None:
        self._heard.set()
        self._heard = asyncio.Event()

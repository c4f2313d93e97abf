# SPDX-License-Identifier: MIT
"""What happened to services: one journal record each, and a stream for those who watch."""

from __future__ import annotations

import asyncio
import collections
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec

from strata.systemd import journal

KEPT = 1000
"""Events a newcomer may still ask for; the journal has them all."""


class Asker(NamedTuple):
    """On whose behalf something is done: `uid:N` or `cap:ID`, and the request that asked for it."""

    subject: str = "supervisor"
    req_id: str = ""
    cap_id: str = ""


OURSELVES = Asker()


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One occurrence. `seq` grows by one; `time` is seconds since the epoch."""

    seq: int
    time: float
    event: str
    service: str
    message: str
    state: str = ""
    previous: str = ""


class Events:
    """The last events, and those who follow them."""

    def __init__(self) -> None:
        self._kept: collections.deque[Event] = collections.deque(maxlen=KEPT)
        self._seq = 0
        self._news = asyncio.Event()

    def tell(
        self,
        event: str,
        service: str,
        message: str,
        state: str = "",
        previous: str = "",
        *,
        unit: str = "",
        restarts: int | None = None,
        by: Asker = OURSELVES,
    ) -> None:
        """Record one occurrence here and in the journal (STRATA_EVENT, STRATA_SERVICE, STRATA_SUBJECT and the like)."""
        self._seq += 1
        self._kept.append(Event(self._seq, time.time(), event, service, message, state, previous))
        journal.send(
            event,
            f"{service}: {message}",
            service=service,
            state=state,
            previous=previous,
            unit=unit,
            resource=unit,
            restarts=restarts,
            subject=by.subject,
            req_id=by.req_id,
            cap_id=by.cap_id,
        )
        self._news.set()
        self._news = asyncio.Event()

    def since(self, seq: int) -> list[Event]:
        """Kept events after number `seq`, oldest first."""
        return [event for event in self._kept if event.seq > seq]

    async def follow(self, seq: int) -> AsyncIterator[Event]:
        """Events after number `seq`, for as long as the caller listens.

        Who reads so slowly that events were dropped behind its back sees a gap in the numbers.
        """
        while True:
            news = self._news
            for event in self.since(seq):
                yield event
                seq = event.seq
            if not self.since(seq):
                await news.wait()

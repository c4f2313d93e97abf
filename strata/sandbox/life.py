# SPDX-License-Identifier: MIT
"""How long a session lives that nobody uses. (How long one lives at most is RuntimeMaxSec= of its scope.)

One timer for each session, set to when it would have been idle for too long; what happens meanwhile only makes the
timer set itself anew when it fires. Requests, attached terminals, runs, and what a shell left running in the
background all count as use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from strata.sandbox.ids import Key
from strata.sandbox.session import Session

_LEAST_SECONDS = 0.05


class Life:
    """Tells `expired(session)` for each session that was idle for its `ttl_seconds`; 0 is for ever."""

    def __init__(self, expired: Callable[[Session], None]) -> None:
        self._expired = expired
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def watch(self, session: Session) -> None:
        """From now on, or by its new record."""
        self.forget(session)
        if session.record.ttl_seconds:
            left = max(session.record.ttl_seconds - session.idle_seconds, _LEAST_SECONDS)
            self._timers[session.key] = asyncio.get_running_loop().call_later(left, self._look, session)

    def forget(self, session: Session) -> None:
        """No more."""
        if timer := self._timers.pop(session.key, None):
            timer.cancel()

    def close(self) -> None:
        """Watch none."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _look(self, session: Session) -> None:
        if session.idle_seconds < session.record.ttl_seconds:
            self.watch(session)
        elif _works(session):
            session.touch()
            self.watch(session)
        else:
            self._expired(session)


def _works(session: Session) -> bool:
    """Whether a part has something running that nobody waits for."""
    return any(part.busy for part in session.parts.values())

# SPDX-License-Identifier: MIT
"""Sessions that should be gone and are not: processes do not die, systemd does not answer, a disk fails.

Each is tried again, ever more rarely, for as long as the room runs; the next room tries them at its start. Until
nothing of a session is left, its name, its user ids and its place among its owner's sessions are not given away.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator

from strata.sandbox.closing import Remains
from strata.sandbox.ids import Key

log = logging.getLogger(__name__)
FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0


class Leftovers:
    """Knows them, and calls `again(key)` for one whose time has come."""

    def __init__(self, again: Callable[[Key], None]) -> None:
        self._again = again
        self._remains: dict[Key, Remains] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._delays: dict[Key, Iterator[float]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._remains

    def __iter__(self) -> Iterator[Key]:
        return iter(self._remains)

    def get(self, key: Key) -> Remains | None:
        """What remains of that session, if anything does."""
        return self._remains.get(key)

    def keep(self, remains: Remains) -> None:
        """It could not be removed; why is the caller's to tell."""
        key = remains.key
        self._cancel(key)
        self._remains[key] = remains
        delay = next(self._delays.setdefault(key, _delays()))
        log.warning("what is left of %s is tried again in %g s", key.label, delay)
        self._timers[key] = asyncio.get_running_loop().call_later(delay, self._again, key)

    def forget(self, key: Key) -> None:
        """Nothing of it is left."""
        self._cancel(key)
        self._remains.pop(key, None)
        self._delays.pop(key, None)

    def close(self) -> None:
        """Try nothing any more."""
        for key in tuple(self._remains):
            self.forget(key)

    def _cancel(self, key: Key) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()


def _delays() -> Iterator[float]:
    for number in itertools.count():
        yield min(FIRST_SECONDS * 2.0 ** min(number, 16), LONGEST_SECONDS)

# SPDX-License-Identifier: MIT
"""Owners' slices: each is there, with the limits of the settings, while something of its owner's is in it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from strata.config import OwnerSettings
from strata.errors import Conflict, StrataError, Unavailable
from strata.sandbox import closing
from strata.sandbox.ids import owner_slice
from strata.systemd.manager import Manager
from strata.units.properties import encode
from strata.units.render import render_owner

log = logging.getLogger(__name__)
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 60.0
"""Between attempts to stop one that could not be stopped."""


class Slices:
    """Counts who is in which; one is made for the first and stopped after the last, never both at once: a session in
    a slice that is being stopped would be stopped too, or be in one without limits."""

    def __init__(self, manager: Manager, limits: OwnerSettings, systemd_version: int) -> None:
        self._manager, self._limits, self._version = manager, limits, systemd_version
        self._inside: Counter[str] = Counter()
        self._made: set[str] = set()
        self._turns: dict[str, asyncio.Lock] = {}
        self._again: dict[str, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Try nothing any more."""
        for task in self._again.values():
            task.cancel()

    def claim(self, owner: str) -> None:
        """One more is in it already, since before this process."""
        self._inside[owner] += 1
        self._made.add(owner)

    def enter(self, owner: str) -> asyncio.Task[None]:
        """One more is to be in it, until he leaves; the task is done when it is there. The task raises StrataError."""
        self._inside[owner] += 1
        made = asyncio.create_task(self._ensure(owner))
        made.add_done_callback(lambda task: task.cancelled() or task.exception())  # for who leaves without a look
        return made

    async def leave(self, owner: str) -> None:
        """One less is in it. One that cannot be stopped is tried again: nobody waits for it, it takes nothing."""
        self._inside[owner] -= 1
        async with self._turn(owner):
            if self._inside[owner] == 0 and owner in self._made:
                self._made.discard(owner)
                if not await self._stop(owner) and owner not in self._again:
                    self._again[owner] = asyncio.create_task(self._until_stopped(owner))
        self._forget(owner)

    async def _until_stopped(self, owner: str) -> None:
        """Unless somebody has come: then it is made anew for him, and stopped after him."""
        delay = FIRST_SECONDS
        try:
            while True:
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_SECONDS)
                async with self._turn(owner):
                    if self._inside[owner] or await self._stop(owner):
                        break
        finally:
            del self._again[owner]
            self._forget(owner)

    async def _stop(self, owner: str) -> bool:
        try:
            await closing.stop(self._manager, owner_slice(owner))
        except StrataError as error:
            log.warning("%s; it is tried again", error.message)
            return False
        return True

    def _forget(self, owner: str) -> None:
        if self._inside[owner] == 0 and owner not in self._again:
            del self._inside[owner]
            self._turns.pop(owner, None)

    def __contains__(self, unit: str) -> bool:
        """Whether a unit is such a slice that something is in."""
        return any(unit == owner_slice(owner) for owner in self._inside)

    async def _ensure(self, owner: str) -> None:
        async with self._turn(owner):
            if self._inside[owner] and owner not in self._made:
                await self._make(owner)
                self._made.add(owner)

    async def _make(self, owner: str) -> None:
        name = owner_slice(owner)
        properties = encode(render_owner(name, owner, self._limits), self._version).properties
        try:
            job = await self._manager.run_transient([(name, properties)])
        except Conflict:  # left over, who knows with which limits; nobody is in it
            await closing.stop(self._manager, name)
            job = await self._manager.run_transient([(name, properties)])
        if job.result != "done":
            raise Unavailable(f"cannot make {name}: systemd says {job.result}; try again")

    def _turn(self, owner: str) -> asyncio.Lock:
        return self._turns.setdefault(owner, asyncio.Lock())

# SPDX-License-Identifier: MIT
"""What is being opened and closed: of each session one thing at a time, and to its end whoever hangs up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from strata.errors import StrataError
from strata.sandbox.ids import Key

log = logging.getLogger(__name__)
T = TypeVar("T")


class Changes:
    """The tasks that open and close sessions."""

    def __init__(self) -> None:
        self._tasks: dict[Key, asyncio.Task[Any]] = {}
        self._unasked: set[asyncio.Task[None]] = set()
        self.ending = False  # nothing new begins

    def __contains__(self, key: Key) -> bool:
        return key in self._tasks

    async def settled(self, key: Key) -> None:
        """Returns when nothing is about to change for that session; then the caller may, before it awaits anything."""
        while (task := self._tasks.get(key)) is not None:
            await asyncio.wait([task])

    async def run(self, key: Key, change: Coroutine[Any, Any, T]) -> T:
        """Its result. It goes on when the caller hangs up: half a session is none."""
        task = self._tasks[key] = asyncio.create_task(change)
        task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return await asyncio.shield(task)

    def start(self, change: Coroutine[Any, Any, object]) -> None:
        """For what nobody waits for; see `told`."""
        self._unasked.add(task := asyncio.create_task(told(change)))
        task.add_done_callback(self._unasked.discard)

    async def end(self) -> None:
        """From here on nothing new begins; returns when what has begun is done."""
        self.ending = True
        while pending := {*self._tasks.values(), *self._unasked}:
            await asyncio.wait(pending)


async def told(change: Coroutine[Any, Any, object]) -> None:
    """Await it for nobody: what goes wrong is for the log."""
    try:
        await change
    except StrataError as error:
        log.error("%s", error.message)
    except Exception:
        log.exception("cannot open or close a session")

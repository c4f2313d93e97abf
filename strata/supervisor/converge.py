# SPDX-License-Identifier: MIT
"""Bringing up what is declared once its dependencies are Healthy, and forgiving old crashes after a long spell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from strata.errors import StrataError, Unavailable
from strata.supervisor.board import Board
from strata.supervisor.operations import Operations
from strata.supervisor.plan import Seen, to_start
from strata.supervisor.service import Service
from strata.supervisor.states import is_over
from strata.types import ServiceState as S

log = logging.getLogger(__name__)
RETRY_SECONDS = 1.0
"""Before a start is tried again that failed because systemd did not answer."""


class Spell(NamedTuple):
    """How long a service has been Healthy in one invocation (systemd.exec(5), $INVOCATION_ID) after a crash."""

    invocation: str
    timer: asyncio.TimerHandle


class Converge:
    """Starts what is declared; each service once, for afterwards systemd restarts it."""

    def __init__(self, board: Board, operations: Operations) -> None:
        self.board, self.operations = board, operations
        self._attempted: set[str] = set()
        self._under_way: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spells: dict[str, Spell] = {}
        self._open = False
        board.listeners.append(self._service_changed)

    def begin(self) -> None:
        """From now on start what is declared. What runs must have been looked at, or it would be started anew."""
        self._open = True
        for service in self.board.services.values():
            self._watch_spell(service)
        self.go()

    def go(self) -> None:
        """Start whatever can be started now."""
        services = self.board.services
        # Whoever becomes Healthy leads here: of hundreds, those that have had their start are passed over.
        waiting = [name for name in services if name not in self._attempted] if self._open else []
        if not waiting:
            return
        after = {name: services[name].manifest.after for name in waiting}
        needed = [name for names in after.values() for name in names if name in services]
        seen = {name: self._seen(services[name]) for name in (*waiting, *needed)}
        for name in to_start(seen, after):
            self._attempted.add(name)
            self._under_way.add(name)
            self._spawn(self._start(self.board.services[name]))

    def again(self, name: str) -> None:
        """Let a service be started once more: its declaration has changed."""
        self._attempted.discard(name)

    def staying(self) -> AbstractSet[str]:
        """The services that are not well, and that neither systemd nor anybody here is about to start."""
        found: set[str] = set()
        for service in self.board.services.values():  # what a service comes after is before it
            if self._stays(service, found):
                found.add(service.name)
        return found

    def held_by(self, service: Service, staying: AbstractSet[str]) -> Service | None:
        """What it comes after, if that one is not on its way to be Healthy."""
        needed = [self.board.services[name] for name in service.manifest.after if name in self.board.services]
        return next((one for one in needed if one.state is S.STOPPED or one.name in staying), None)

    def _stays(self, service: Service, before: AbstractSet[str]) -> bool:
        if service.turn.locked() or service.name in self._under_way or not is_over(service.status):
            return False
        if service.state is S.DECLARED and service.name not in self._attempted:
            return self.held_by(service, before) is not None
        return service.state in (S.DECLARED, S.CRASHED, S.QUARANTINED)

    async def close(self) -> None:
        """Start nothing more."""
        self._open = False
        for spell in self._spells.values():
            spell.timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _seen(self, service: Service) -> Seen:
        return Seen(service.state, service.digest, service.stop_wished, service.name in self._attempted)

    def _service_changed(self, service: Service, before: S) -> None:
        spell = self._spells.get(service.name)
        if service.state is before and spell and spell.invocation == service.status.invocation_id:
            return
        self._watch_spell(service)  # it may have crashed and be Healthy again before it was looked at
        if service.state is S.HEALTHY and service.state is not before:
            self.go()

    async def _start(self, service: Service) -> None:
        try:
            await self._try(service)
        finally:
            self._under_way.discard(service.name)
        self.go()

    async def _try(self, service: Service) -> None:
        try:
            await self.operations.bring_up(service)
        except Unavailable as error:
            log.warning("cannot start %s yet: %s", service.name, error.message)
            await asyncio.sleep(RETRY_SECONDS)
            self.again(service.name)
        except StrataError as error:
            log.error("cannot start %s: %s", service.name, error.message)

    def _watch_spell(self, service: Service) -> None:
        """Who stays Healthy for the whole crash window begins anew: no restarts counted, the first delay again."""
        spell = self._spells.pop(service.name, None)
        if spell:
            spell.timer.cancel()
        if service.state is S.HEALTHY and service.status.restarts and self._open:
            window = service.manifest.restart.window_sec
            loop = asyncio.get_running_loop()
            timer = loop.call_later(window, lambda: self._spawn(self._forgive(service)))
            self._spells[service.name] = Spell(service.status.invocation_id, timer)

    async def _forgive(self, service: Service) -> None:
        if service.state is not S.HEALTHY:
            return
        try:
            await self.operations.manager.reset_failed(service.unit)
        except StrataError as error:
            log.warning("cannot forget the crashes of %s yet: %s", service.name, error.message)
            self._watch_spell(service)  # after another spell
            return
        self.board.events.tell("svc.recovered", service.name, "healthy for its whole crash window", unit=service.unit)
        await self.operations.look(service)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("cannot go on with a service", exc_info=task.exception())

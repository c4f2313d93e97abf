# SPDX-License-Identifier: MIT
"""Starting, stopping, restarting and resetting one service: what the operator asks, done by systemd."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from strata.errors import Conflict, InvalidArgument, NotFound, StrataError, Unavailable
from strata.supervisor.board import Board
from strata.supervisor.events import Asker
from strata.supervisor.service import Service
from strata.supervisor.states import why
from strata.systemd.manager import Manager
from strata.types import ServiceState as S
from strata.units import names

log = logging.getLogger(__name__)
DRAIN_SECONDS = 2.0
KILL_SECONDS = 10.0
STARTABLE = (S.DECLARED, S.STOPPED, S.CRASHED, S.RESTARTING, S.QUARANTINED)
STOPPABLE = (S.STARTING, S.HEALTHY, S.CRASHED, S.RESTARTING)


class Operations:
    """The verbs. Each takes the service's turn, so that two operators cannot work on one service at once."""

    def __init__(self, board: Board, manager: Manager) -> None:
        self.board, self.manager = board, manager

    async def start(self, service: Service, by: Asker) -> None:
        """Start a service that is not running, and wait until it is Healthy.

        Raises Conflict in a state that cannot start, Unavailable when a dependency is not Healthy or it does not
        become ready; in the latter case systemd goes on trying.
        """
        async with service.turn:
            if service.state not in STARTABLE:
                raise Conflict(
                    f"illegal transition for {service.name}: {service.state} -> {S.STARTING}", state=service.state
                )
            self._require_dependencies(service)
            self.board.wishes.run(service.name)
            service.stop_wished = False
            self.board.events.tell("svc.start", service.name, "asked to start", unit=service.unit, by=by)
            await self._bring_up(service)
        await self._wait_healthy(service)

    async def bring_up(self, service: Service) -> None:
        """Start a declared service without waiting for its health: what start-up and reload do."""
        async with service.turn:
            if service.state in STARTABLE and not service.stop_wished:
                self.board.events.tell("svc.start", service.name, "starting as declared", unit=service.unit)
                await self._bring_up(service)

    async def stop(self, service: Service, by: Asker, drain: float = DRAIN_SECONDS) -> list[str]:
        """Stop a service and its socket; SIGKILL to whatever is left after `drain` seconds.

        Returns the names of services that depend on it. Raises Conflict when it is not running.
        """
        if drain > service.manifest.stop_timeout_sec:
            most = service.manifest.stop_timeout_sec
            raise InvalidArgument(
                f"cannot wait {drain:g} s: {service.name} has stop_timeout {most:g} s; raise that first"
            )
        async with service.turn:
            if service.state not in STOPPABLE and not service.status.running and not service.listening:
                raise Conflict(f'service "{service.name}" is not running (state={service.state})', state=service.state)
            self.board.wishes.stop(service.name)
            service.stop_wished = True
            self.board.events.tell("svc.stop", service.name, "asked to stop", unit=service.unit, by=by)
            try:
                await self._take_down(service, drain)
            except BaseException:
                self._take_back(service)
                raise
        return self.board.dependents(service.name)

    async def restart(
        self, service: Service, by: Asker, drain: float = DRAIN_SECONDS, reason: str = "asked to restart"
    ) -> None:
        """Restart a service: its socket stays, so its clients queue. A changed declaration takes effect.

        A service that is not running is started.
        """
        if service.state not in (S.HEALTHY, S.STARTING):
            await self.start(service, by)
            return
        async with service.turn:
            self.board.events.tell("svc.restart", service.name, reason, unit=service.unit, by=by)
            service.restart_wished = True
            try:
                await self._restart(service, drain)
            finally:
                service.restart_wished = False
                self.board.refresh(service)
        await self._wait_healthy(service)

    async def reset(self, service: Service, by: Asker) -> None:
        """Forget failures, the restart count and the start-limit window; a failed service becomes Declared."""
        async with service.turn:
            await self._forget_failure(service)
            service.unstartable = ""
            self.board.events.tell("svc.reset", service.name, "failures forgotten", unit=service.unit, by=by)
            await self.look(service)

    async def take_down(self, service: Service, drain: float = DRAIN_SECONDS) -> None:
        """Stop a service because Strata ends or its manifest is gone; no wish is recorded."""
        async with service.turn:
            service.stop_wished = True
            await self._take_down(service, drain)

    async def kill(self, service: Service, invocation: str) -> None:
        """SIGKILL to every process of a service, as long as it is in that run: never to one that has replaced it."""
        await self.manager.kill_run(service.unit, invocation, signal.SIGKILL)

    async def stop_unit(self, unit: str) -> None:
        """Stop a unit if it is there, and wait until it is stopped."""
        with contextlib.suppress(NotFound):
            await self.manager.stop(unit)

    async def look(self, service: Service) -> None:
        """Ask systemd what it says of the service and its socket now."""
        for unit in filter(None, (service.unit, service.socket_unit)):
            await self.manager.look(unit)

    # --- how

    def _take_back(self, service: Service) -> None:
        """A stop that could not be carried out is no wish: what runs is not told as Stopped. Should systemd stop it all
        the same, that is seen, and is one."""
        if service.status.running:
            self.board.wishes.run(service.name)
            service.stop_wished = False
            self.board.refresh(service)

    def _require_dependencies(self, service: Service) -> None:
        missing = self.board.unhealthy_dependencies(service)
        if missing:
            raise Unavailable(f'dependency "{missing[0]}" is not healthy', dependency=missing[0])

    async def _bring_up(self, service: Service) -> None:
        service.unstartable = ""
        try:
            await self._forget_failure(service)
            if service.changed:
                await self._take_down(service, DRAIN_SECONDS)
            await self._start_units(service)
        except Unavailable:
            raise
        except StrataError as error:
            service.unstartable = error.message
            self.board.events.tell("svc.crash", service.name, error.message, unit=service.unit)
            self.board.refresh(service)
            raise
        await self.look(service)

    async def _start_units(self, service: Service) -> None:
        """A stopped unit may linger until systemd collects it, and may be collected under our hands: try both ways."""
        await self.look(service)
        first = service.socket_unit if service.on_demand and service.socket_unit else service.unit
        if not service.status.gone:
            with contextlib.suppress(NotFound):
                await self.manager.start(first)
                return
        try:
            await self._create(service, first)
        except Conflict:
            for unit in filter(None, (service.socket_unit, service.unit)):
                await self.stop_unit(unit)
                await self.manager.reset_failed(unit)
            await self._create(service, first)

    async def _create(self, service: Service, first: str) -> None:
        units = sorted(service.units, key=lambda unit: unit[0] != first)
        await self.manager.start_transient(units)

    async def _restart(self, service: Service, drain: float) -> None:
        if service.changed and not await self._declared_anew(service):
            await self._take_down(service, drain)
            await self._bring_up(service)
            return
        await self.look(service)
        before = service.status.invocation_id
        await self.manager.reset_failed(service.unit)  # a wished restart must not count towards the limit
        await self.manager.restart(service.unit)
        if await self._replaced(service, before, drain):
            return
        await self.kill(service, before)
        if not await self._replaced(service, before, KILL_SECONDS):
            raise Unavailable(f"cannot restart {service.name}: it survived SIGKILL for {KILL_SECONDS:g} s")

    async def _declared_anew(self, service: Service) -> bool:
        """Whether the next start will be of the new declaration, with no client refused until then: the socket stays.

        A user's other socket cannot be had that way. One of ours is not stopped for its own: an end for good would take
        with it what has to survive a restart, such as sessions.
        """
        if service.rebinds and (not service.manifest.core or not service.listening):
            return False
        try:
            await self._rewrite(service)
        except StrataError as error:
            if service.manifest.core:
                raise
            log.warning("%s is stopped and started: %s", service.name, error.message)
            return False
        if not service.socket_unit:
            await self.stop_unit(names.service_unit(service.name, service.manifest.core, "socket"))
        return True

    async def _rewrite(self, service: Service) -> None:
        """Have the loaded units say what is declared. A socket that is to be where it is goes on listening; one that is
        to be elsewhere is closed, and the service's next start opens it there (Wants=)."""
        moves = False
        if service.rebinds:
            moves = await self.manager.binding(service.socket_unit) != service.binding
            await self.manager.rewrite(service.socket_unit, service.texts[1].text)
        await self.manager.rewrite(service.unit, service.texts[0].text)
        if moves:
            await self.stop_unit(service.socket_unit)
        await self.look(service)

    async def _replaced(self, service: Service, invocation: str, seconds: float) -> bool:
        return await self.board.wait_until(lambda: service.status.invocation_id != invocation, seconds)

    async def _take_down(self, service: Service, drain: float) -> None:
        """Socket first, or a client would start the service again."""
        if service.socket_unit:
            await self.stop_unit(service.socket_unit)
        await self.look(service)
        run = service.status.invocation_id
        job = asyncio.ensure_future(self.stop_unit(service.unit))
        try:
            await asyncio.wait([job], timeout=drain)
            if not job.done():
                with contextlib.suppress(NotFound):
                    await self.kill(service, run)
                await asyncio.wait([job], timeout=KILL_SECONDS)
            if not job.done():
                raise Unavailable(
                    f"cannot stop {service.name}: a process of it survived SIGKILL for {KILL_SECONDS:g} s"
                )
            job.result()
        finally:
            job.cancel()
        await self._forget_failure(service)
        await self.look(service)

    async def _forget_failure(self, service: Service) -> None:
        for unit in filter(None, (service.unit, service.socket_unit)):
            await self.manager.reset_failed(unit)

    async def _wait_healthy(self, service: Service) -> None:
        if service.on_demand:
            return
        state = await self.board.wait(
            service, {S.HEALTHY, S.QUARANTINED, S.STOPPED}, service.manifest.start_timeout_sec
        )
        if state is S.STOPPED:
            raise Conflict(f"{service.name} was stopped while it was starting", state=state)
        if state is S.QUARANTINED:
            reason = why(service.status) or "it crashed too often"
            raise Unavailable(f"{service.name} did not become ready: {reason}, and is quarantined", state=state)

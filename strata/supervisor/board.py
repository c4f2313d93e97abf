# SPDX-License-Identifier: MIT
"""All services and what was last seen of them: the one owner of that picture.

systemd's reports come in through `unit_changed`; whoever has to act on a change listens, or waits for a state.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from strata.errors import NotFound, StrataError, Unavailable
from strata.supervisor.events import Events
from strata.supervisor.service import Service
from strata.supervisor.states import is_down, is_over, why
from strata.supervisor.wishes import Wishes
from strata.systemd.state import UnitStatus
from strata.types import ServiceState as S

log = logging.getLogger(__name__)
Listener = Callable[[Service, S], None]
"""Called with a service whose state or unit status changed, and the state it had before."""


class Board:
    """Services by name."""

    def __init__(self, events: Events, wishes: Wishes) -> None:
        self.events, self.wishes = events, wishes
        self.services: dict[str, Service] = {}
        self.listeners: list[Listener] = []
        self._by_unit: dict[str, Service] = {}
        self._change = asyncio.Event()

    def add(self, service: Service) -> None:
        """Take a service in, or replace the declaration of one that is known."""
        self.take([*self.services.values(), service])

    def take(self, services: Iterable[Service]) -> None:
        """From now on these are the services, in this order; of two by one name the last, in the place of the first."""
        self.services = {service.name: service for service in services}
        self._by_unit = {unit: one for one in self.services.values() for unit in (one.unit, one.socket_unit) if unit}

    def remove(self, name: str) -> None:
        """Forget a service."""
        self.services.pop(name, None)
        self._by_unit = {unit: one for unit, one in self._by_unit.items() if one.name != name}

    def get(self, name: str) -> Service:
        """The service of that name. Raises NotFound."""
        try:
            return self.services[name]
        except KeyError:
            raise NotFound(f'unknown service "{name}"', service=name) from None

    def unhealthy_dependencies(self, service: Service) -> list[str]:
        """Names of services that must be Healthy before this one and are not."""
        after = service.manifest.after
        return [name for name in after if name not in self.services or self.services[name].state is not S.HEALTHY]

    def dependents(self, name: str) -> list[str]:
        """Names of services that are declared to come after this one."""
        return [one.name for one in self.services.values() if name in one.manifest.after]

    def unit_changed(self, status: UnitStatus) -> None:
        """Take in what systemd says of one unit; units that are not ours are ignored."""
        service = self._by_unit.get(status.name)
        if service is None:
            return
        if status.name == service.socket_unit:
            service.socket = status
        else:
            before, service.status = service.status, status
            try:
                self._note_outside_wish(service, before)
            except StrataError as error:  # it is one all the same, until the supervisor is restarted
                log.error("%s", error.message)
            self._note_crash(service, before)
            if status.invocation_id != before.invocation_id:
                service.answered = None
        self.refresh(service)

    def refresh(self, service: Service) -> None:
        """Compute the state anew, tell the listeners, wake who waits."""
        before, service.state = service.state, service.look()
        if service.state is not before:
            service.since = time.time()
            self.events.tell(
                f"svc.{service.state.lower()}",
                service.name,
                self._told(service, before),
                service.state,
                before,
                unit=service.unit,
            )
        for listener in self.listeners:
            listener(service, before)
        self.wake()

    def wake(self) -> None:
        """Have everybody who waits for something look again."""
        self._change.set()
        self._change = asyncio.Event()

    async def wait(self, service: Service, states: set[S], seconds: float) -> S:
        """Wait until the service is in one of `states`; that state. Raises Unavailable after `seconds`, or as soon as
        nobody is about to start it."""
        await self.wait_until(lambda: service.state in states or _is_left(service), seconds)
        if service.state not in states:
            reason = why(service.status) or service.unstartable or f"it is {service.state}"
            rest = _LEFT if _is_left(service) else ""
            raise Unavailable(f"{service.name} did not become ready: {reason}{rest}", state=service.state)
        return service.state

    async def wait_until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition on services holds; False when it does not after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    await self._change.wait()
        except TimeoutError:
            return False
        return True

    def _told(self, service: Service, before: S) -> str:
        reason = why(service.status) if service.state in (S.CRASHED, S.RESTARTING, S.QUARANTINED) else ""
        return f"{before} -> {service.state}" + (f": {reason}" if reason else "")

    def _note_outside_wish(self, service: Service, before: UnitStatus) -> None:
        """`systemctl stop` and `systemctl start` are wishes too, when nobody here is at work on the service."""
        now = service.status
        if service.turn.locked():
            return
        if service.stop_wished and now.active_state == "active" and before.active_state != "active":
            service.stop_wished = False
            self.events.tell("svc.start", service.name, "started outside Strata", unit=service.unit)
            self.wishes.run(service.name)
        elif not service.stop_wished and not service.on_demand and before.running and _is_stopped(service, now):
            service.stop_wished = True
            self.events.tell("svc.stop", service.name, "stopped outside Strata", unit=service.unit)
            self.wishes.stop(service.name)

    def _note_crash(self, service: Service, before: UnitStatus) -> None:
        """One svc.crash for each invocation that was seen and ended unwished; STRATA_RESTARTS counts the others too."""
        now = service.status
        if not service.looked_at:  # what happened before our time, an earlier supervisor has told
            service.looked_at, service.crash_told = True, now.invocation_id if is_down(now) else ""
            return
        if now.ends_as_asked:
            service.crash_told = now.invocation_id
            return
        if service.stop_wished or service.restart_wished:
            return
        # systemd counts the restarts of its own alone: without one, somebody else has started it anew.
        replaced = now.invocation_id and before.invocation_id not in ("", now.invocation_id, service.crash_told)
        if replaced and now.restarts:
            # Its Result= and status went with the restart; systemd's own record of them is in the journal.
            self._tell_crash(service, f"it ended and was restarted; `strata-ctl logs {service.name}` shows how")
        if is_down(now) and service.crash_told != now.invocation_id:
            service.crash_told = now.invocation_id
            self._tell_crash(service, why(now) or "it ended")

    def _tell_crash(self, service: Service, reason: str) -> None:
        self.events.tell("svc.crash", service.name, reason, unit=service.unit, restarts=service.status.restarts)


_LEFT = (
    ", and nothing is about to start it: somebody stopped it, or its unit has it so (Condition…=, Assert…=, Restart=)"
)


def _is_left(service: Service) -> bool:
    """It does not run, and neither systemd nor anybody here is about to start it."""
    return is_over(service.status) and not service.turn.locked()


def _is_stopped(service: Service, unit: UnitStatus) -> bool:
    """Somebody has stopped it: not yet over, or over, with no start that follows (a restart). Many a program ends with
    a status then (143): nobody but who stopped it keeps systemd from a restart."""
    if unit.job:
        return unit.ends_as_asked and unit.job == "stop"
    failed = unit.active_state == "failed" and unit.straight and service.always_restarted
    return failed or unit.active_state == "inactive"

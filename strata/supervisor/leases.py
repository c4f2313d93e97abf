# SPDX-License-Identifier: MIT
"""Keeps the registry in step with unit states: what can be connected to is registered, what is stopped is not.

A service that restarts keeps its entry, for its socket goes on listening and its clients queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import NamedTuple

from strata.errors import InvalidArgument, NotFound, StrataError
from strata.sockets.async_client import AsyncClient
from strata.supervisor.board import Board
from strata.supervisor.service import Service
from strata.types import ServiceState as S

log = logging.getLogger(__name__)
REGISTRY = "registry"
LISTED = (S.HEALTHY, S.RESTARTING, S.STARTING, S.CRASHED)
ON_THE_WAY = (S.RESTARTING, S.STARTING)
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0  # seconds


class Lease(NamedTuple):
    """What the registry is told of a service."""

    endpoint: str
    unit: str


UNKNOWN = Lease("", "")
"""What the registry has been told of a service may be so, or not."""


class Leases:
    """One task that registers and unregisters until what it wants is what it has done."""

    def __init__(self, board: Board, socket: Path) -> None:
        self.board, self._socket = board, socket
        self._done: dict[str, Lease] = {}  # by service, as the registry has been told
        self._registry_run = self._complete_run = ""  # InvocationIDs: of the registry, of the one that was told all
        self._poke = asyncio.Event()
        self._task = asyncio.create_task(self._keep())
        board.listeners.append(self._service_changed)

    async def close(self) -> None:
        """Tell the registry nothing more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def drop(self, name: str) -> None:
        """What an earlier supervisor has registered under that name is no more."""
        self._done.setdefault(name, UNKNOWN)
        self._poke.set()

    def _service_changed(self, service: Service, _before: S) -> None:
        if service.name == REGISTRY and service.status.invocation_id != self._registry_run:
            self._registry_run = service.status.invocation_id
            # A new registry may know nothing, or what is no more: tell it everything again.
            self._done = dict.fromkeys(self._done, UNKNOWN)
        if service.name == REGISTRY or self._complete_run != self._registry_run or not self._told(service):
            self._poke.set()

    def _told(self, service: Service) -> bool:
        """Whether the registry knows what it is to know of that one; and of no one who is not there any more."""
        return self._lease(service) == self._done.get(service.name) and self._done.keys() <= self.board.services.keys()

    def _wanted(self) -> dict[str, Lease]:
        leases = {name: self._lease(service) for name, service in self.board.services.items()}
        return {name: lease for name, lease in leases.items() if lease}

    def _lease(self, service: Service) -> Lease | None:
        """What the registry is to be told of it, if anything."""
        endpoint = _endpoint(service) if service.name != REGISTRY else ""
        return Lease(endpoint, service.unit) if endpoint and self._listed(service) else None

    def _listed(self, service: Service) -> bool:
        if service.on_demand and service.listening:
            return True
        return service.state is S.HEALTHY or (service.state in LISTED and service.name in self._done)

    def _awaited(self) -> bool:
        """Whether a service that can be connected to is about to be listed: "not registered" would be wrong of it."""
        wanted = self._wanted()
        return any(
            service.state in ON_THE_WAY and name not in wanted and name != REGISTRY and _endpoint(service)
            for name, service in self.board.services.items()
        )

    async def _keep(self) -> None:
        delay = FIRST_RETRY
        while True:
            await self._poke.wait()
            self._poke.clear()
            registry = self.board.services.get(REGISTRY)
            if registry is None or registry.state is not S.HEALTHY or self._all_told():
                continue
            try:
                await self._tell()
                delay = FIRST_RETRY
                if self._wanted() != self._done:  # what has changed meanwhile was compared with what was not done yet
                    self._poke.set()
            except Exception as error:  # nobody else would notice that this task has ended
                log.warning("cannot tell the registry, trying again: %s", error, exc_info=_unexpected(error))
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_RETRY)
                self._poke.set()

    def _all_told(self) -> bool:
        return self._wanted() == self._done and self._complete_run == self._registry_run

    async def _tell(self) -> None:
        run = self._registry_run
        client = await AsyncClient.connect(self._socket)
        try:
            wanted = self._wanted()
            for name in [name for name in self._done if name not in wanted]:
                with contextlib.suppress(NotFound):
                    await client.call("registry.unregister", {"service": name})
                self._done.pop(name, None)
            for name, lease in wanted.items():
                if self._done.get(name) != lease:
                    params = {"service": name, "endpoint": lease.endpoint, "api_v": 1, "unit": lease.unit}
                    await client.call("registry.register", params)
                    self._done[name] = lease
            if self._complete_run != run and not self._awaited():
                with contextlib.suppress(InvalidArgument):  # one of an earlier version does not know the method
                    await client.call("registry.complete")
                self._complete_run = run
        finally:
            client.close()


def _unexpected(error: Exception) -> Exception | None:
    return None if isinstance(error, StrataError) else error


def _endpoint(service: Service) -> str:
    """Where clients reach the service, "" when it listens nowhere that Strata knows of."""
    address = service.address
    if not address:
        return ""
    return f"unix://{address}" if address.startswith("/") else f"tcp://{address}"

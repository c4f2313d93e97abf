# SPDX-License-Identifier: MIT
"""What an earlier supervisor left running becomes what this one declares: of other code, settings, manifests.

One service after another, dependencies first, each Healthy again before the next is touched. One that does not come
back ends it: what has not been touched by then goes on as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from strata.edition import Edition
from strata.errors import StrataError
from strata.supervisor.board import Board
from strata.supervisor.events import OURSELVES
from strata.supervisor.operations import Operations
from strata.supervisor.service import Service
from strata.types import ServiceState as S
from strata.units import names

log = logging.getLogger(__name__)
Progress: TypeAlias = Literal["running", "done", "stopped"]
PATTERN = "strata-*"
ON_ITS_WAY = (S.STARTING, S.RESTARTING, S.CRASHED)
SUBJECT = "supervisor"
REMEDY = "mend it, then `strata-ctl restart`"


class Rollout:
    """One at each start of the supervisor. `wanted` is the edition that core services are to be of; `removed` is told
    the name of a service that is no more."""

    def __init__(self, board: Board, operations: Operations, wanted: Edition, removed: Callable[[str], None]) -> None:
        self.board, self.operations, self.wanted, self._removed = board, operations, wanted, removed
        self.progress: Progress = "running"
        self._task: asyncio.Task[None] | None = None

    def begin(self, manifests: Path) -> None:
        """Start it, once what runs has been looked at. `manifests` is the directory that the users' are in."""
        self._task = asyncio.create_task(self._run(manifests))

    async def close(self) -> None:
        """Leave it as far as it is: the next supervisor goes on."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, manifests: Path) -> None:
        try:
            if (kept := _stems(manifests)) is not None:
                await self._remove_undeclared(kept)
            self.progress = "done" if await self._go_through() else "stopped"
        except Exception:  # nobody else would notice that this task has ended
            self.progress = "stopped"
            log.exception("cannot finish the roll-out")
        self.board.wake()

    async def _go_through(self) -> bool:
        """Whether everything that runs is what it should be."""
        restarted = []
        for name in tuple(self.board.services):
            service = self.board.services.get(name)  # a reload may have removed it meanwhile
            if service is None:
                continue
            await self._settled(service)
            if not (reason := service.outdated(self.wanted)):
                continue
            if failure := await self._replace(service, reason):
                self._tell_stopped(service, failure)
                return False
            restarted.append(name)
        if restarted:
            self._tell("rollout.done", f"{', '.join(restarted)} restarted: {self.wanted.version} runs everywhere")
        return True

    async def _settled(self, service: Service) -> None:
        """A service of ours that is being started tells what it is when it is ready."""
        if service.manifest.core and service.state in ON_ITS_WAY:
            seconds = service.manifest.start_timeout_sec
            await self.board.wait_until(lambda: service.state not in ON_ITS_WAY, seconds)

    async def _replace(self, service: Service, reason: str) -> str:
        """Restart it and wait until it is Healthy; why it is not, or ""."""
        try:
            await self.operations.restart(service, OURSELVES, service.manifest.stop_timeout_sec, reason)
        except StrataError as error:
            return error.message
        return ""

    async def _remove_undeclared(self, kept: frozenset[str]) -> None:
        """What runs though its manifest is gone, or the settings leave it out: the sockets first."""
        units = await self.operations.manager.units(PATTERN)
        for unit in sorted(units, key=lambda unit: not unit.endswith(".socket")):
            name = names.service_of(unit)
            if name is None or name in kept or name in self.board.services or unit == names.SUPERVISOR:
                continue
            try:
                await self.operations.stop_unit(unit)
            except StrataError as error:
                log.error("cannot stop %s, which is not declared any more: %s", unit, error.message)
                continue
            if unit.endswith(".socket"):
                continue
            self.board.wishes.run(name)
            self._removed(name)
            self.board.events.tell("svc.removed", name, "it is not declared any more", unit=unit)

    def _tell_stopped(self, service: Service, failure: str) -> None:
        left = [one.name for one in self.board.services.values() if one is not service and one.outdated(self.wanted)]
        rest = f"; {', '.join(left)} go on as they were" if left else ""
        log.error("the roll-out stopped at %s: %s%s; %s", service.name, failure, rest, REMEDY)
        self._tell("rollout.stopped", f"{service.name}: {failure}{rest}; {REMEDY}")

    def _tell(self, event: str, message: str) -> None:
        self.board.events.tell(event, SUBJECT, message, unit=names.SUPERVISOR)


def _stems(directory: Path) -> frozenset[str] | None:
    """Names of which there is a manifest, usable or not; None when nobody can say."""
    try:
        found = [entry for entry in os.listdir(directory) if entry.endswith(".toml") and entry[0] != "."]
    except FileNotFoundError:
        return frozenset()
    except OSError:  # the manifests' reader has told
        return None
    return frozenset(entry.removesuffix(".toml") for entry in found)

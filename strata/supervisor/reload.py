# SPDX-License-Identifier: MIT
"""Manifests changed: what would follow from them, and making it so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from strata.errors import StrataError
from strata.supervisor.board import Board
from strata.supervisor.converge import Converge
from strata.supervisor.events import Asker
from strata.supervisor.operations import Operations
from strata.supervisor.plan import Action, Seen, reload_plan
from strata.supervisor.service import Service

Declare = Callable[[], tuple[list[Service], list[str]]]

Pending = Callable[[], tuple[list[str], list[str]]]
"""What waits for a restart of Strata, and what would keep it from starting (strata.supervisor.pending)."""


class Reload:
    """Compares what is declared with what is seen. `problems` are those of the manifests in force."""

    def __init__(
        self, board: Board, operations: Operations, converge: Converge, declare: Declare, pending: Pending
    ) -> None:
        self.board, self.operations, self.converge = board, operations, converge
        self._declare, self._pending = declare, pending
        self.problems: list[str] = []
        self._turn = asyncio.Lock()

    def load(self) -> None:
        """Take in what is declared, at start-up."""
        services, self.problems = self._declare()
        for service in services:
            service.stop_wished = self.board.wishes.stopped(service.name)
        self.board.take(services)

    async def show(self) -> dict[str, Any]:
        """The plan, and what is wrong with the manifests."""
        services, problems = self._declare()
        return self._answer(self._plan(services), problems, applied=False)

    async def apply(self, by: Asker) -> dict[str, Any]:
        """Carry the plan out; steps that fail are told, and the others are taken all the same."""
        async with self._turn:
            services, self.problems = self._declare()
            plan = self._plan(services)
            for action in plan:
                self.board.events.tell("svc.reload", action.service, f"{action.verb}: {action.reason}", by=by)
            failed = []
            for action in plan:
                if action.verb == "stop":
                    failed += await self._try(action, self._remove(action.service))
            self._adopt(services)
            for action in plan:
                if action.verb == "restart":
                    service = self.board.get(action.service)
                    failed += await self._try(action, self.operations.restart(service, by))
                elif action.verb == "start":
                    self.converge.again(action.service)
            self.converge.go()
            return self._answer(plan, [*self.problems, *failed], applied=True)

    def _plan(self, services: list[Service]) -> list[Action]:
        seen = {name: Seen(one.state, one.running_digest, one.stop_wished) for name, one in self.board.services.items()}
        return reload_plan({service.name: service.digest for service in services}, seen)

    async def _remove(self, name: str) -> None:
        service = self.board.get(name)
        await self.operations.take_down(service)
        self.board.wishes.run(name)
        self.board.remove(name)
        self.board.events.tell("svc.removed", name, "its manifest is gone", unit=service.unit)

    def _adopt(self, services: list[Service]) -> None:
        """New declarations take the place of the old. A service that is known stays the object that it is: who waits
        for it, or asks for its health, goes on to see it."""
        known = self.board.services
        for service in services:
            if old := known.get(service.name):
                old.declare_anew(service)
        self.board.take(known.get(service.name, service) for service in services)

    async def _try(self, action: Action, work: Any) -> list[str]:
        try:
            await work
        except StrataError as error:
            return [f"cannot {action.verb} {action.service}: {error.message}"]
        return []

    def _answer(self, plan: list[Action], problems: list[str], *, applied: bool) -> dict[str, Any]:
        notes, wrong = self._pending()
        return {"plan": plan, "problems": [*problems, *wrong], "notes": notes, "applied": applied}

# SPDX-License-Identifier: MIT
"""What a supervisor that has just come tells a registry that has lost its table (strata/supervisor/leases.py)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rooms import Issuer, directory, listening_journal, served

from strata.config import OperatorSettings
from strata.errors import NotFound
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.registry import handlers
from strata.registry.hold import Hold
from strata.registry.store import NoStore
from strata.registry.table import Entry, Table
from strata.sockets.async_client import AsyncClient
from strata.sockets.server import Server
from strata.supervisor.board import Board
from strata.supervisor.events import Events
from strata.supervisor.leases import Leases
from strata.supervisor.service import Marks, Service
from strata.supervisor.wishes import Wishes
from strata.systemd.audit import Denials
from strata.systemd.state import UnitStatus
from strata.units.model import Manifest, UnitText

HOLD = 5.0
RUN = "a" * 32
LISTEN = UnitText("strata-svc-x.socket", "[Socket]\nListenStream=/run/x.sock\n")


@contextlib.asynccontextmanager
async def lost_registry() -> AsyncIterator[Server]:
    """One that waits to be told everything again."""
    trust = Trust()
    trust.set_keys([Issuer().public])
    room = handlers.Room(Table(NoStore[Entry]()), Hold(HOLD))
    yield Server(handlers.METHODS, room, Gate(trust, OperatorSettings()), Denials())


def board_of(made: Path) -> Board:
    found = Board(Events(), Wishes(made / "stopped"))
    for name, texts in (("registry", ()), ("x", (UnitText("x", ""), LISTEN))):
        manifest = Manifest(name=name, core=name == "registry", command=("/bin/true",))
        service = Service(manifest, texts, (), Marks("", "", ""), UnitStatus(name), None)
        found.add(service)
    return found


def seen(board: Board, name: str, active: str, job: str = "") -> None:
    board.unit_changed(UnitStatus(board.get(name).unit, "loaded", active, job=job, invocation_id=RUN))


async def resolve(socket: Path) -> Any:
    client = await AsyncClient.connect(socket)
    try:
        return await client.call("registry.resolve", {"service": "x"})
    finally:
        client.close()


def test_nothing_is_denied_of_a_service_that_is_just_being_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor and the registry came anew while x restarts: who asks waits until x is there."""

    async def converse(socket: Path, made: Path) -> Any:
        board = board_of(made)
        seen(board, "x", "deactivating", "restart")
        leases = Leases(board, socket)
        try:
            seen(board, "registry", "active")
            asked = asyncio.create_task(resolve(socket))
            done, _ = await asyncio.wait({asked}, timeout=0.3)
            assert not done
            seen(board, "x", "active")
            return await asyncio.wait_for(asked, HOLD / 2)
        finally:
            await leases.close()

    with directory() as made, listening_journal(monkeypatch, made / "journal"):  # noqa: SIM117
        with served(lost_registry, made / "registry.sock") as room:
            answer = asyncio.run(converse(room.path, made))
    assert answer["endpoint"] == "unix:///run/x.sock"


def test_what_is_not_about_to_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def converse(socket: Path, made: Path) -> None:
        board = board_of(made)
        leases = Leases(board, socket)
        try:
            seen(board, "registry", "active")
            with pytest.raises(NotFound):
                await asyncio.wait_for(resolve(socket), HOLD / 2)
        finally:
            await leases.close()

    with directory() as made, listening_journal(monkeypatch, made / "journal"):  # noqa: SIM117
        with served(lost_registry, made / "registry.sock") as room:
            asyncio.run(converse(room.path, made))

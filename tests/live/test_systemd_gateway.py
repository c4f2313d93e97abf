# SPDX-License-Identifier: MIT
"""The gateway to a real systemd: late, hung and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from unittest.mock import Mock

import leaks
import machine
import pytest

from strata.errors import Unavailable
from strata.systemd.manager import Manager
from strata.systemd.state import UnitStatus
from strata.units.rows import Property

SLICE = "strata-late.slice"
SERVICE = "strata-replaced.service"
COMMAND = Property("ExecStart", "a(sasb)", (("/bin/sleep", ("/bin/sleep", "60"), False),))


def with_manager(
    address: str, timeout: float, body: Callable[[Manager, int], Awaitable[None]], owner: Mock | None = None
) -> None:
    async def main() -> None:
        before = leaks.holdings().children
        found = Manager(address, owner or Mock(), timeout)
        try:
            await found.open()
            (gateway,) = leaks.holdings().children - before
            async with asyncio.timeout(20):
                await body(found, gateway)
        finally:
            await found.close()

    asyncio.run(main())


def test_what_was_given_up_is_not_done_later(manager: machine.Manager) -> None:
    async def body(found: Manager, gateway: int) -> None:
        os.kill(gateway, signal.SIGSTOP)
        found.timeout = 0.2
        with pytest.raises(Unavailable, match="did not answer within"):
            await found.run_transient([(SLICE, [])])
        os.kill(gateway, signal.SIGCONT)
        found.timeout = 10
        assert await found.units(SLICE) == ()

    with_manager(manager.bus_address, 10, body)


def test_when_the_gateway_dies_who_waits_is_told_and_the_next_is_served(manager: machine.Manager) -> None:
    async def body(found: Manager, gateway: int) -> None:
        os.kill(gateway, signal.SIGSTOP)
        waiting = asyncio.create_task(found.stop("nothing.scope"))
        await asyncio.sleep(0)
        os.kill(gateway, signal.SIGKILL)
        with pytest.raises(Unavailable, match="the connection to it was lost"):
            await waiting
        assert await found.version()

    with_manager(manager.bus_address, 10, body)


def test_a_gateway_that_is_slow_to_load_is_no_systemd_that_does_not_answer(
    manager: machine.Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "python"
    slow.write_text(f'#!/bin/sh\nsleep 2\nexec {sys.executable} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))

    async def body(found: Manager, _gateway: int) -> None:
        assert await found.version()

    with_manager(manager.bus_address, 1, body)


def _nobody(_found: Manager, _gateway: int) -> Awaitable[None]:
    raise AssertionError("there is nobody to reach")


def test_without_a_systemd_it_says_so() -> None:
    with pytest.raises(Unavailable, match=r"connection to it was lost|did not answer"):
        with_manager("unix:path=/nowhere", 10, _nobody)


def test_a_gateway_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Unavailable, match="its gateway could not be started"):
        with_manager("unix:path=/nowhere", 10, _nobody)


def test_a_kill_that_comes_too_late_spares_the_next_run(manager: machine.Manager) -> None:
    """Whose InvocationID it was decided by has been replaced; the right one is killed."""
    owner = Mock()

    async def body(found: Manager, _gateway: int) -> None:
        async def seen() -> UnitStatus:
            await found.look(SERVICE)
            status: UnitStatus = owner.unit_changed.call_args.args[0]
            return status

        await found.run_transient([(SERVICE, [COMMAND])])
        old = (await seen()).invocation_id
        try:
            await found.restart(SERVICE)
            while (new := await seen()).invocation_id == old or new.active_state != "active":
                await asyncio.sleep(0.01)
            assert not await found.kill_run(SERVICE, old, signal.SIGKILL)
            assert (await seen()).active_state == "active"
            assert await found.kill_run(SERVICE, new.invocation_id, signal.SIGKILL)
            while (await seen()).active_state == "active":
                await asyncio.sleep(0.01)
        finally:
            await found.reset_failed(SERVICE)

    with_manager(manager.bus_address, 10, body, owner)


def test_units_that_come_and_go_cost_it_no_memory(manager: machine.Manager) -> None:
    """What systemd has forgotten it is not asked for, for pystemd keeps something of every refusal."""
    ends = Property("ExecStart", "a(sasb)", (("/bin/true", ("/bin/true",), False),))
    oneshot = Property("Type", "s", "oneshot")

    async def body(found: Manager, gateway: int) -> None:
        async def come_and_go(count: int) -> int:
            for _ in range(count):
                await found.run_transient([(SERVICE, [ends, oneshot])])
                while await found.units(SERVICE):
                    await asyncio.sleep(0.001)
            await found.look("strata-nothing.scope")  # all before it has been read
            return _private_bytes(gateway)

        warm = await come_and_go(30)
        assert await come_and_go(400) - warm < 400 * 700

    with_manager(manager.bus_address, 10, body)


def _private_bytes(pid: int) -> int:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(row.split()[1]) * 1024 for row in rows if row.startswith(("Private_Dirty", "Private_Clean")))

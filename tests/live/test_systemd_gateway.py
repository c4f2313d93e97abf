# SPDX-License-Identifier: MIT
"""The gateway to a real systemd: late, hung and killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from unittest.mock import Mock

import leaks
import machine
import pytest

from strata.errors import Unavailable
from strata.systemd.manager import Manager

SLICE = "strata-late.slice"


def with_manager(address: str, timeout: float, body: Callable[[Manager, int], Awaitable[None]]) -> None:
    async def main() -> None:
        before = leaks.holdings().children
        found = Manager(address, Mock(), timeout)
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

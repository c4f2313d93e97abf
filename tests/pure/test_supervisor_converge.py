# SPDX-License-Identifier: MIT
"""What is done for services without anybody asking, where systemd cannot be had to fail on purpose."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest

from strata.errors import Unavailable
from strata.supervisor.converge import Converge
from strata.types import ServiceState as S


def healthy() -> Mock:
    found = Mock(state=S.HEALTHY, status=Mock(restarts=1, invocation_id="first"))
    found.manifest = Mock(restart=Mock(window_sec=0.02), after=())
    found.name = "a"
    return found


def test_a_systemd_that_does_not_answer_puts_off_what_is_forgotten_by_a_spell() -> None:
    async def main() -> None:
        one = healthy()
        operations = Mock(look=AsyncMock())
        operations.manager.reset_failed = AsyncMock(side_effect=[Unavailable("no answer"), None])
        board = Mock(services={"a": one}, listeners=[])
        converge = Converge(board, operations)
        converge._attempted.add("a")
        converge.begin()
        async with asyncio.timeout(10):
            while not operations.look.await_count:
                await asyncio.sleep(0.01)
        await converge.close()
        assert [call.args[:2] for call in board.events.tell.mock_calls] == [("svc.recovered", "a")]

    asyncio.run(main())


@pytest.mark.parametrize("restarts", [0, 1])
def test_the_spell_of_one_that_crashed_and_was_healthy_again_before_it_was_looked_at_begins_anew(restarts: int) -> None:
    """Its state is the same before and after."""

    async def main() -> None:
        one, operations = healthy(), Mock(look=AsyncMock())
        forgotten = operations.manager.reset_failed = AsyncMock()
        one.status.restarts, one.manifest.restart.window_sec = restarts, 0.3
        converge = Converge(Mock(services={"a": one}, listeners=[]), operations)
        converge._attempted.add("a")
        converge.begin()
        await asyncio.sleep(0.2)
        one.status.restarts, one.status.invocation_id = restarts + 1, "second"
        converge._service_changed(one, S.HEALTHY)
        await asyncio.sleep(0.2)
        converge._service_changed(one, S.HEALTHY)  # of some other change
        assert not forgotten.await_count
        async with asyncio.timeout(10):
            while not forgotten.await_count:
                await asyncio.sleep(0.01)
        await converge.close()

    asyncio.run(main())

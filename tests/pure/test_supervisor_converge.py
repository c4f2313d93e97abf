# SPDX-License-Identifier: MIT
"""What is done for services without anybody asking, where systemd cannot be had to fail on purpose."""

from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

from strata.errors import Unavailable
from strata.supervisor.converge import Converge
from strata.types import ServiceState as S


def test_a_systemd_that_does_not_answer_puts_off_what_is_forgotten_by_a_spell() -> None:
    async def main() -> None:
        one = Mock(state=S.HEALTHY, status=Mock(restarts=1), manifest=Mock(restart=Mock(window_sec=0.02), after=()))
        one.name = "a"
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

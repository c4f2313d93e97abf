# SPDX-License-Identifier: MIT
"""Several things at once: whose error counts, and what a cancellation does."""

from __future__ import annotations

import asyncio

import pytest

from strata.api.beside import together
from strata.errors import NotFound


async def _last() -> None:
    await asyncio.sleep(60)


async def _fail(when: asyncio.Future[None]) -> None:
    await when
    raise NotFound("it")


def test_the_first_that_fails_ends_them_all() -> None:
    async def go() -> None:
        when = asyncio.get_running_loop().create_future()
        work = asyncio.create_task(together(_fail(when), _last()))
        when.set_result(None)
        with pytest.raises(NotFound):
            await asyncio.wait_for(work, 1)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(go())


def test_a_cancellation_counts_though_one_of_them_has_just_failed() -> None:
    """Who cancels must see it end so: a gRPC call whose connection is lost is taken to be badly behaved otherwise."""

    async def go() -> None:
        when = asyncio.get_running_loop().create_future()
        work = asyncio.create_task(together(_fail(when), _last()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        when.set_result(None)
        await asyncio.sleep(0)
        work.cancel()  # between the failure and its being heard of
        with pytest.raises(asyncio.CancelledError):
            await work

    asyncio.run(go())


def test_the_result_is_that_of_the_first_once_all_are_done() -> None:
    async def go() -> None:
        async def answer() -> int:
            return 42

        done = []

        async def slower() -> None:
            await asyncio.sleep(0.01)
            done.append(True)

        assert await together(answer(), slower()) == 42
        assert done

    asyncio.run(go())

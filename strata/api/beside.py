# SPDX-License-Identifier: MIT
"""Several things at once; the first that fails ends them all, and its error is the one that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def together(first: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None]) -> T:
    """The result of `first`, once all of them are done."""
    begun = asyncio.create_task(first)
    tasks = [begun, *(asyncio.create_task(work) for work in others)]
    await _done(tasks, tasks)
    return begun.result()


async def beside(main: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None]) -> T:
    """The result of `main`, as soon as that is done; then the others are cancelled."""
    begun = asyncio.create_task(main)
    await _done([begun], [begun, *(asyncio.create_task(work) for work in others)])
    return begun.result()


async def _done(wanted: Sequence[asyncio.Task[Any]], tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Until those that are wanted are done, or one of all has failed; then none runs any more. Not by asyncio.gather,
    which forgets that we were cancelled when one has just failed."""
    try:
        waiting = set(tasks)
        while not all(task.done() for task in wanted):
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

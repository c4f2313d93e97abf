# SPDX-License-Identifier: MIT
"""Several things at once; the first that fails ends them all, and its error is the one that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def together(first: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None]) -> T:
    """The result of `first`, once all of them are done."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in (first, *others)]
    try:
        waiting = set(tasks)
        while waiting:  # gather would forget that we were cancelled when one of them has just failed
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        return tasks[0].result()  # type: ignore[no-any-return]
    finally:
        await _ended(tasks)


async def beside(main: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None]) -> T:
    """The result of `main`, as soon as that is done; then the others are cancelled."""
    chief = asyncio.create_task(main)
    tasks: list[asyncio.Task[Any]] = [chief, *(asyncio.create_task(work) for work in others)]
    try:
        waiting = set(tasks)
        while not chief.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        return chief.result()
    finally:
        await _ended(tasks)


async def _ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

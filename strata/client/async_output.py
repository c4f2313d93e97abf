# SPDX-License-Identifier: MIT
"""What is read while it comes, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class AsyncStream(Generic[T]):
    """Iterate over it; leaving it early (`aclose`, or the end of an `async with`) gives the work behind it up."""

    def __init__(self, items: AsyncGenerator[Any, None], read: Callable[[Any], T]) -> None:
        self._items, self._read = items, read

    def __aiter__(self) -> AsyncStream[T]:
        return self

    async def __anext__(self) -> T:
        return self._read(await anext(self._items))

    async def __aenter__(self) -> AsyncStream[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop reading."""
        await self._items.aclose()

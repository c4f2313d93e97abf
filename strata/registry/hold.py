# SPDX-License-Identifier: MIT
"""A registry that has lost its table does not know yet what it does not know: "not registered" has to wait."""

from __future__ import annotations

import asyncio
import contextlib

HOLD_SECONDS = 5.0
"""How long the supervisor is waited for: it tells a registry all again as soon as that is Healthy."""


class Hold:
    """Until the supervisor has registered all that it knows, or the time is over."""

    def __init__(self, seconds: float) -> None:
        """To be made on the event loop; `seconds` run from now, 0 holds nothing."""
        self._ends = asyncio.get_running_loop().time() + seconds
        self._complete = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether the table is as good as it gets."""
        return self._complete.is_set() or asyncio.get_running_loop().time() >= self._ends

    def end(self) -> None:
        """The supervisor has registered everything."""
        self._complete.set()

    async def wait(self) -> None:
        """Return when it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._ends):
                await self._complete.wait()

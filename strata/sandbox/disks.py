# SPDX-License-Identifier: MIT
"""Empty disks that lie ready for sessions: what some have taken is made anew a moment later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from strata import durable, values
from strata.sandbox.layers import image
from strata.sandbox.record import Record

REST_SECONDS = 0.1
"""Whoever opens a session has more to ask right then."""


class Disks:
    """Those in one stock."""

    def __init__(self, stock: Path) -> None:
        self._stock = str(stock)
        self._wanted: set[tuple[int, int]] = set()
        self._turn = asyncio.Lock()

    async def restock(self, record: Record) -> None:
        """Have some of the size that this session has. Raises StrataError."""
        one = values.size(record.limits.disk_max), record.limits.inodes_max
        if not record.mapped or one in self._wanted:  # others have none (layers.disk)
            return
        self._wanted.add(one)
        await asyncio.sleep(REST_SECONDS)
        async with self._turn:
            self._wanted.discard(one)
            with durable.told("have empty disks ready"):
                await asyncio.to_thread(image.restock, self._stock, *one)

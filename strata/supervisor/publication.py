# SPDX-License-Identifier: MIT
"""Publishes identity's current public key as `identity.pub` (spec 1.2), for those who verify tokens by themselves.

identity runs as a user that may not write there; the supervisor may.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from strata import durable
from strata.paths import Paths
from strata.sockets import async_client
from strata.supervisor.board import Board
from strata.supervisor.service import Service
from strata.types import ServiceState as S

log = logging.getLogger(__name__)
IDENTITY = "identity"
VERSION = "v2.public"


class Publication:
    """Writes the file when identity is Healthy, and whenever its keys change."""

    def __init__(self, board: Board, paths: Paths) -> None:
        self._paths = paths
        self._poke = asyncio.Event()
        self._task = asyncio.create_task(self._keep())
        board.listeners.append(self._service_changed)

    def keys_changed(self) -> None:
        """To be called when other keys have been heard of."""
        self._poke.set()

    async def close(self) -> None:
        """Write no more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def withdraw(self) -> None:
        """Take the file away: nobody signs with that key now."""
        self._paths.identity_pub.unlink(missing_ok=True)

    def _service_changed(self, service: Service, before: S) -> None:
        if service.name == IDENTITY and service.state is S.HEALTHY and before is not S.HEALTHY:
            self._poke.set()

    async def _keep(self) -> None:
        while True:
            await self._poke.wait()
            self._poke.clear()
            try:
                await self._publish()
            except Exception as error:  # noqa: BLE001  nobody else would notice that this task has ended
                log.warning("cannot publish %s, trying again: %r", self._paths.identity_pub, error)
                await asyncio.sleep(1.0)
                self._poke.set()

    async def _publish(self) -> None:
        result = await async_client.call(self._paths.socket(IDENTITY), "identity.keys")
        key = next(row["key"] for row in result["keys"] if row["version"] == VERSION and row["current"])
        durable.replace(self._paths.identity_pub, key.encode(), 0o644)

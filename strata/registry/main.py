# SPDX-License-Identifier: MIT
"""The registry as a process."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from strata.config import Settings
from strata.paths import Paths
from strata.policy.feed import following
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.registry import handlers, store
from strata.registry.hold import HOLD_SECONDS, Hold
from strata.registry.table import Entry, Table
from strata.sockets.server import Server
from strata.systemd import daemon
from strata.systemd.audit import Denials

_PATIENCE = 1.0  # seconds


@contextlib.asynccontextmanager
async def compose(paths: Paths, settings: Settings) -> AsyncIterator[Server]:
    """The registry's server. It is up before identity is: operators need no token, and tokens can wait."""
    trust = Trust()
    kept = store.from_env(Entry)
    table = Table(kept)
    room = handlers.Room(table, Hold(HOLD_SECONDS if kept.fresh else 0.0))
    async with following(trust, paths.socket("identity"), patience=0.0, runs=settings.core.identity):
        reaper = asyncio.create_task(handlers.reap(room.table))
        try:
            yield Server(handlers.METHODS, room, Gate(trust, settings.operators), Denials())
        finally:
            reaper.cancel()


def main() -> int:
    """Serve until told to stop; the exit code."""
    return daemon.run(compose, "registry")


if __name__ == "__main__":
    sys.exit(main())

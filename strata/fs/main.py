# SPDX-License-Identifier: MIT
"""fs as a process."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from collections.abc import AsyncIterator

from strata.config import Settings
from strata.fs import audit, handlers
from strata.fs.handles import HandleTable
from strata.fs.room import Room, sweep
from strata.fs.threads import Threads
from strata.paths import Paths
from strata.policy.feed import following
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.sockets.server import Server
from strata.systemd import daemon
from strata.systemd.audit import Denials


@contextlib.asynccontextmanager
async def compose(paths: Paths, settings: Settings) -> AsyncIterator[Server]:
    """The fs server, following identity's keys and revocations for as long as it lives."""
    trust = Trust()
    gate = Gate(trust, settings.operators)
    async with opened_room(trust, gate, settings.fs.strict_paths) as room, following(trust, paths.socket("identity")):
        yield Server(handlers.METHODS, room, gate, Denials())


@contextlib.asynccontextmanager
async def opened_room(trust: Trust, gate: Gate, strict_paths: bool = False) -> AsyncIterator[Room]:
    """The room; at the end its handles are closed and its threads let go."""
    threads = Threads()
    room = Room(trust, gate.buckets, HandleTable(threads), threads, audit.ReadLog(), strict_paths)
    trust.listeners.append(room.drop_revoked)
    sweeper = asyncio.create_task(sweep(room.handles))
    try:
        yield room
    finally:
        sweeper.cancel()
        room.threads.close()
        room.reads.close()
        room.handles.close_all()


def main() -> int:
    """Serve until told to stop; the exit code."""
    # Handles and connections need more than the soft limit of 1024; systemd's hard limit is 524288 (systemd.exec(5)).
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return daemon.run(compose, "fs")


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The door as a process: unprivileged, without keys, and with no way out but the room's socket."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
from collections.abc import AsyncIterator

from strata import config
from strata.api import address, mcp_app, table, tls
from strata.api.app import App
from strata.api.door import Door
from strata.api.grpc_server import Grpc
from strata.api.http1 import Http1
from strata.api.pool import RoomPool
from strata.api.routing import Router
from strata.api.serving import Server
from strata.config import Settings
from strata.paths import Paths
from strata.systemd import daemon

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def compose(paths: Paths, settings: Settings) -> AsyncIterator[Server]:
    """The door's server, for all four protocols."""
    if settings.api.insecure_no_auth:
        log.warning("api.insecure_no_auth: whoever reaches %s may do everything", settings.api.address)
    secure = tls.context(settings.api, os.environ.get("CREDENTIALS_DIRECTORY", ""))
    if not secure and not config.is_loopback(settings.api.address):
        log.warning(
            "whoever is on the way reads tokens and files: %s is no loopback address, and there is no TLS",
            settings.api.address,
        )
    room = RoomPool(paths.socket("sandbox"), anonymous=settings.api.insecure_no_auth)
    door = Door(room, settings.api)
    try:
        async with mcp_app.mounted(door) as mcp:
            yield Server(Http1(App(door, Router(table.ROUTES), mcp)), Grpc(door), tls=secure)
    finally:
        room.close()


def main() -> int:
    """Serve until told to stop; the exit code."""
    # Each connection and each pipe is a descriptor; systemd's hard limit is far above the soft one (systemd.exec(5)).
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return daemon.run(compose, "api", bind=lambda settings: address.bound(settings.api.address))


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The life of a room's process: sockets from systemd, readiness, watchdog, and an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import uvloop

from strata import config, edition, log
from strata.config import Settings
from strata.errors import StrataError
from strata.paths import Paths
from strata.sockets import listen
from strata.systemd import journal, notify

logger = logging.getLogger(__name__)
STORE_NAME = "control"
EXTEND_SECONDS = 5.0


class Served(Protocol):
    """What a room is served by: `sockets.server.Server`, or the door's own."""

    async def listen(self, sock: socket.socket) -> None:
        """Accept on `sock` (already bound and listening) until `close`."""

    async def close(self) -> None:
        """Take no more calls, let running ones end for a while, then drop every connection."""


Compose = Callable[[Paths, Settings], contextlib.AbstractAsyncContextManager[Served]]
"""Builds the room and yields its server; leaving the context closes what the room owns."""

Bind = Callable[[Settings], socket.socket]
"""Makes the socket of a process that systemd passed none: a door's, which is no unix socket."""


Stays = Callable[[], bool]
"""Whether the process ends only to be started again; asked when its server is closed."""


def run(compose: Compose, name: str, *, stays: Stays | None = None, bind: Bind | None = None) -> int:
    """Serve the room until SIGTERM or SIGINT; the process's exit code. A start-up that cannot be is one sentence.

    `stays` is for a room without a socket unit: its socket outlives a crash or a restart in systemd's descriptor store.
    """
    try:
        listen.take()
        paths = Paths.from_env()
        settings = config.load(paths)
        log.setup(settings.log_level)
        own = functools.partial(bind, settings) if bind else functools.partial(_file, paths.socket(name))
        sockets = _kept(paths.socket(name), stays) if stays else _passed(own)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(compose, name, paths, settings, sockets))
    except StrataError as error:
        print(f"<3>strata-{name}: {error.message}", file=sys.stderr)
        return 1


async def _serve(
    compose: Compose, name: str, paths: Paths, settings: Settings, sockets: AbstractContextManager[list[socket.socket]]
) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with watchdog(), compose(paths, settings) as server:
        with sockets as listening:
            for sock in listening:
                await server.listen(sock)
            gc.collect()
            gc.freeze()  # modules and tables live as long as the process: looking through them again finds nothing
            notify.notify("READY=1", f"STATUS={edition.told(edition.edition(settings))}")
            logger.info("%s is ready", name)
            await ended.wait()
            notify.mention("STOPPING=1")
            await server.close()
    journal.flush()
    return 0


@contextlib.contextmanager
def _passed(own: Callable[[], AbstractContextManager[socket.socket]]) -> Iterator[list[socket.socket]]:
    """What the socket unit passed; else, run by hand, a socket of our own."""
    passed = list(listen.inherited().values())
    if passed:
        yield passed
        return
    with own() as sock:
        yield [sock]


@contextlib.contextmanager
def _file(path: Path) -> Iterator[socket.socket]:
    own = listen.bound(path)
    try:
        yield own
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _kept(path: Path, stays: Stays) -> Iterator[list[socket.socket]]:
    """A socket of our own that systemd keeps over a crash and a restart (FDSTORE, sd_notify(3)): none is refused."""
    sock = listen.inherited().get(STORE_NAME)
    if sock is None or not path.is_socket():
        notify.notify("FDSTOREREMOVE=1", f"FDNAME={STORE_NAME}")  # one whose file is gone: nobody would find it
        sock = listen.bound(path)
        notify.notify("FDSTORE=1", f"FDNAME={STORE_NAME}", fds=[sock.fileno()])
    yield [sock]
    # Reached only by an orderly end: after a crash the socket must go on to queue clients.
    if not stays():
        notify.notify("FDSTOREREMOVE=1", f"FDNAME={STORE_NAME}")
        path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def watchdog() -> AsyncIterator[None]:
    """Tell systemd three times per interval that this event loop turns; a loop that hangs is killed."""
    interval = notify.watchdog_seconds()
    task = asyncio.create_task(_tick(interval / 3)) if interval else None
    try:
        yield
    finally:
        if task:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def patience(most: float = 600.0) -> AsyncIterator[None]:
    """While inside, for at most `most` seconds, systemd waits beyond the unit's TimeoutStartSec= or TimeoutStopSec=:
    there is much to do, and it goes on (EXTEND_TIMEOUT_USEC=, sd_notify(3))."""
    task = asyncio.create_task(_extend(most))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _extend(most: float) -> None:
    for _ in range(int(most / EXTEND_SECONDS)):
        notify.mention(f"EXTEND_TIMEOUT_USEC={int(EXTEND_SECONDS * 3_000_000)}")
        await asyncio.sleep(EXTEND_SECONDS)


async def _tick(seconds: float) -> None:
    while True:
        notify.mention("WATCHDOG=1")
        await asyncio.sleep(seconds)

# SPDX-License-Identifier: MIT
"""The whole door on a real socket, in a thread, before a room of scripted answers; what must be so after each input.

Its time limits are short, so that one who does not go on is soon told so. All else is as in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop
from hostile import answers

from strata.api import mcp_app, table
from strata.api.app import App
from strata.api.door import Door
from strata.api.grpc_server import Grpc
from strata.api.http1 import Http1
from strata.api.limits import LIMITS
from strata.api.pool import RoomPool
from strata.api.routing import Router
from strata.api.serving import Server
from strata.config import ApiSettings
from strata.sockets.server import Server as Room

WITHIN = 5.0
"""Seconds in which the door must be done with anybody."""

QUICK = LIMITS._replace(header_seconds=0.03, body_seconds=0.03, idle_seconds=0.0)
GOOD = b"GET /api/stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\nConnection: close\r\n\r\n"
_EVERY = 64  # inputs between two requests that must succeed


class Log(logging.Handler):
    """What the door holds for its own fault."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("hostile"):
            self.said.append(self.format(record))


class Hall:
    """The door, from `open` to `close`. Used from one thread."""

    def __init__(self) -> None:
        self.where = Path(tempfile.mkdtemp(prefix="strata-door-"))
        self.log = Log()
        self._inputs = 0
        self._started, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.loop: asyncio.AbstractEventLoop
        self.http1: Http1
        self.grpc: Grpc
        self.server: Server
        self.room: Room

    def open(self) -> None:
        """Returns when it can be reached."""
        logging.getLogger().addHandler(self.log)
        self._thread.start()
        assert self._started.wait(30)
        self.works()

    def close(self) -> None:
        """Ends it."""
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the door did not close"
        logging.getLogger().removeHandler(self.log)
        shutil.rmtree(self.where)

    def connect(self) -> socket.socket:
        """A new connection."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(WITHIN)
        sock.connect(str(self.where / "door.sock"))
        return sock

    def ask(self, parts: Sequence[bytes], hurry: bool = False) -> bytes:
        """All that comes back until the door hangs up; with `hurry`, we say that nothing more will be sent."""
        with self.connect() as sock:
            send(sock, parts)
            if hurry:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            return heard(sock)

    def works(self) -> None:
        """A newcomer is served."""
        found = self.ask([GOOD])
        assert found.startswith(b"HTTP/1.1 200 "), found

    def check(self) -> None:
        """After each input: nothing is left of its connection, nobody complains; now and then: others are served."""
        end = time.monotonic() + WITHIN
        while left := asyncio.run_coroutine_threadsafe(self._left(), self.loop).result(WITHIN):
            assert time.monotonic() < end, f"the door still holds {left}"
            time.sleep(0.0005)
        assert not self.log.said, "\n".join(self.log.said)
        self._inputs += 1
        if self._inputs % _EVERY == 0:
            self.works()

    async def _left(self) -> dict[str, Any]:
        """What it keeps of clients."""
        held = {
            "connections": len(self.http1._state.connections) + len(self.grpc._connections),
            "tasks": len(self.http1._state.tasks),
            "silent": len(self.server._silent),
            "bytes": self.http1._held.total + self.grpc._held.total,
            "calls": len(self.room.tasks),
        }
        return {name: count for name, count in held.items() if count}

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._life())

    async def _life(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.room = await answers.served(self.where / "sandbox.sock")
        pool = RoomPool(self.where / "sandbox.sock", QUICK)
        door = Door(pool, ApiSettings(), QUICK)
        async with mcp_app.mounted(door) as mcp:
            self.http1, self.grpc = Http1(App(door, Router(table.ROUTES), mcp), QUICK), Grpc(door)
            self.server = Server(self.http1, self.grpc, QUICK)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(self.where / "door.sock"))
            listener.listen(64)
            await self.server.listen(listener)
            self._started.set()
            await self._end.wait()
            await self.server.close()
        pool.close()
        await self.room.close(0.1)


def send(sock: socket.socket, parts: Sequence[bytes]) -> None:
    """What the door still takes of it."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for part in parts:
            sock.sendall(part)


def heard(sock: socket.socket) -> bytes:
    """Until the door hangs up; one that does not is at fault."""
    found = bytearray()
    try:
        while data := sock.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    except TimeoutError:
        raise AssertionError(f"the door neither answers nor hangs up; so far: {bytes(found)!r}") from None
    return bytes(found)

# SPDX-License-Identifier: MIT
"""The baseline: the least that a server of frames can do, in the same language, loop and socket type.

`python -m benchmarks.echo SOCKET` sends every frame back as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from benchmarks.place import Place
from benchmarks.wire import Line, request

UNIT = "strata-bench-echo.service"
PROJECT = Path(__file__).parent.parent


class Echo(asyncio.Protocol):
    """Cuts the stream into frames, for that is what makes it a frame server, and sends each back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = transport, bytearray()

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        while len(buffer) >= 4:
            end = 4 + int.from_bytes(buffer[:4], "big")
            if len(buffer) < end:
                return
            self.transport.write(bytes(buffer[:end]))  # type: ignore[attr-defined]
            del buffer[:end]


async def _serve(path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    await server.serve_forever()


@contextlib.contextmanager
def running(place: Place) -> Iterator[Line]:
    """The echo server as a service beside the rooms, and a connection to it.

    In the same slice, because how fast the kernel wakes a process depends on whose cgroup it shares a core with: a
    baseline that lives elsewhere measures the scheduler, not the server.
    """
    path = place.scratch / "echo.sock"
    scope = ["--user"] if place.mode == "user" else []
    unit = ["--quiet", "--collect", f"--unit={UNIT}", "--slice=strata.slice", f"--working-directory={PROJECT}"]
    place.beside("systemd-run", *scope, *unit, sys.executable, "-m", "benchmarks.echo", str(path))
    try:
        line = _connect(path)
        line.round_trip(request("warm.up", {}))
        yield line
        line.close()
    finally:
        place.systemctl("stop", UNIT)
        path.unlink(missing_ok=True)


def _connect(path: Path) -> Line:
    deadline = time.monotonic() + 10
    while True:
        try:
            return Line(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(sys.argv[1]))

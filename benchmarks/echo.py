# SPDX-License-Identifier: MIT
"""The baseline: the least that a server of frames can do, in the same language, loop and socket type.

`python -m benchmarks.echo SOCKET` sends every frame back as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from benchmarks.wire import Line, request


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
def running(path: Path) -> Iterator[Line]:
    """The echo server in a process of its own, and a connection to it."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo", str(path)])
    try:
        line = _connect(path)
        line.round_trip(request("warm.up", {}))
        yield line
        line.close()
    finally:
        process.terminate()
        process.wait()
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

# SPDX-License-Identifier: MIT
"""The measuring end of the wire: blocking sockets and requests that are encoded beforehand.

What it costs to make a request is the client's and must not blur the server's figure.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from pathlib import Path
from typing import Any

from strata.sockets import frame


def request(method: str, params: Any, token: str = "") -> bytes:
    """A framed request."""
    envelope: dict[str, Any] = {"v": 1, "req_id": "0123456789abcdef", "method": method, "params": params}
    if token:
        envelope["auth"] = {"token": token}
    return frame.encode(json.dumps(envelope).encode())


class Line:
    """One connection."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(path))

    def round_trip(self, framed: bytes) -> bytes:
        """Send a frame; the payload that comes back."""
        self.sock.sendall(framed)
        data = self.sock.recv(262_144)
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
            part = self.sock.recv(262_144)
            if not part:
                raise ConnectionResetError("the service hung up")
            data += part
        return data[4:]

    def close(self) -> None:
        self.sock.close()


def checked(line: Line, framed: bytes) -> bytes:
    """The same request, once it is known to succeed: a refusal is quick and must not be measured as a success."""
    reply = json.loads(line.round_trip(framed))
    if not reply.get("ok"):
        raise RuntimeError(f"cannot measure: {reply.get('error')}")
    return framed


def crowd(path: Path, framed: bytes, connections: int, depth: int, seconds: float) -> list[int]:
    """Answers that each of so many connections got in the time, each with `depth` requests under way."""
    lines = [Line(path) for _ in range(connections)]
    size = 4 + len(lines[0].round_trip(framed))  # every answer to it is alike
    counts, pending = [0] * connections, [0] * connections
    with selectors.DefaultSelector() as selector:
        for number, line in enumerate(lines):
            line.sock.setblocking(False)
            selector.register(line.sock, selectors.EVENT_READ, number)
            line.sock.sendall(framed * depth)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, _ in selector.select(0.1):
                number = key.data
                pending[number] += len(lines[number].sock.recv(262_144))
                whole, pending[number] = divmod(pending[number], size)
                if whole:
                    counts[number] += whole
                    lines[number].sock.sendall(framed * whole)
    for line in lines:
        line.close()
    return counts

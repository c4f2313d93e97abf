# SPDX-License-Identifier: MIT
"""The wire without any client of Strata: raw frames on raw sockets, so that nothing of ours hides a fault of ours."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

LIMIT = 1_048_576
_SECONDS = 10.0
# Becomes another user, connects, and hands the connection back: the kernel keeps the credentials of connect(2).
_CONNECT_AS = """
import os, socket, sys
uid = int(sys.argv[1])
os.setgroups([]); os.setgid(uid); os.setuid(uid)
peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.connect(sys.argv[2])
socket.send_fds(socket.socket(fileno=0), [b"x"], [peer.fileno()])
"""


def frame(payload: bytes) -> bytes:
    """Four bytes of big-endian length, then the payload (spec 1.3)."""
    return len(payload).to_bytes(4, "big") + payload


def request(method: str, params: Any = None, *, token: str | None = None, req_id: str = "r", **more: Any) -> bytes:
    """A framed request; `more` are further top-level fields."""
    envelope: dict[str, Any] = {"v": 1, "req_id": req_id, "method": method} | more
    if params is not None:
        envelope["params"] = params
    if token is not None:
        envelope["auth"] = {"token": token}
    return frame(json.dumps(envelope).encode())


class Wire:
    """One raw connection. Use as a context manager."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(_SECONDS)

    @classmethod
    def to(cls, path: Path) -> Wire:
        """Connect to a unix socket."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except OSError:
            sock.close()
            raise
        return cls(sock)

    @classmethod
    def as_user(cls, uid: int, path: Path) -> Wire:
        """Connect as another user, without groups."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = [sys.executable, "-I", "-S", "-c", _CONNECT_AS, str(uid), str(path)]
            subprocess.run(command, stdin=theirs.fileno(), check=True, timeout=_SECONDS)
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        return cls(socket.socket(fileno=descriptors[0]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.sock.sendall(data)

    def ask(self, method: str, params: Any = None, **more: Any) -> dict[str, Any]:
        """One request and its reply."""
        self.send(request(method, params, **more))
        return self.reply()

    def reply(self) -> dict[str, Any]:
        """The next reply, whose frame must obey the limit."""
        found = self.reply_or_end()
        assert found is not None, "the connection was closed instead of answered"
        return found

    def reply_or_end(self) -> dict[str, Any] | None:
        """The next reply; None when the peer closed the connection."""
        header = self._exactly(4)
        if header is None:
            return None
        size = int.from_bytes(header, "big")
        assert 0 < size <= LIMIT, f"a frame of {size} bytes was announced"
        payload = self._exactly(size)
        assert payload is not None, "the connection was closed within a frame"
        found = json.loads(payload)
        assert isinstance(found, dict)
        return found

    def _exactly(self, size: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self.sock.recv(size - len(parts))
            except ConnectionResetError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)


def error(reply: Mapping[str, Any]) -> tuple[int, str]:
    """Code and message of a reply, which must be an error."""
    assert reply["ok"] is False, f"it was allowed: {reply}"
    return reply["error"]["code"], reply["error"]["message"]


def result(reply: Mapping[str, Any]) -> Any:
    """The result of a reply, which must be ok."""
    assert reply["ok"] is True, f"it was refused: {reply}"
    return reply.get("result")

# SPDX-License-Identifier: MIT
"""Messages between the sandbox room and its launcher: one JSON object a frame, descriptors beside its first bytes.

Both sides are Strata's own; nothing of a sandbox ever writes here. Frames as everywhere (sockets.frame), but an
argument list may be longer than one frame of a client, so the bound is higher.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import Any

MOST_BYTES = 8 * 1024 * 1024
MOST_DESCRIPTORS = 16
_HEADER = 4


def encode(message: dict[str, Any]) -> bytes:
    """Header and JSON."""
    body = json.dumps(message, separators=(",", ":")).encode("utf-8", "surrogateescape")
    return len(body).to_bytes(_HEADER, "big") + body


def send(sock: socket.socket, message: dict[str, Any], fds: list[int] | tuple[int, ...] = ()) -> None:
    """Send one message over a blocking socket."""
    data = encode(message)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = sock.sendmsg([data], rights)
    if sent < len(data):
        sock.sendall(data[sent:])


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its descriptors (close-on-exec) from a blocking socket; None when the peer is gone."""
    header, fds = _header(sock)
    if len(header) < _HEADER:
        for fd in fds:
            os.close(fd)
        return None
    size = int.from_bytes(header, "big")
    if size > MOST_BYTES:
        raise ValueError(f"a message of {size} bytes")
    body = sock.recv(size, socket.MSG_WAITALL)
    message: dict[str, Any] = json.loads(body)
    return message, fds


def _header(sock: socket.socket) -> tuple[bytes, list[int]]:
    header, fds = b"", list[int]()
    while len(header) < _HEADER:
        data, ancillary, _, _ = sock.recvmsg(
            _HEADER - len(header), socket.CMSG_SPACE(MOST_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, packed in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(packed[: len(packed) - len(packed) % received.itemsize])
                fds += received
        if not data:
            return b"", fds
        header += data
    return header, fds

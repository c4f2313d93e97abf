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
from collections.abc import Sequence
from typing import Any

MOST_BYTES = 8 * 1024 * 1024
MOST_DESCRIPTORS = 16
_HEADER = 4
_PIECE = 262_144


def encode(message: dict[str, Any]) -> bytes:
    """Header and JSON. Raises ValueError when it is longer than a message may be."""
    body = json.dumps(message, separators=(",", ":")).encode("utf-8", "surrogateescape")
    if len(body) > MOST_BYTES:
        raise ValueError(f"a message of {len(body)} bytes; the most is {MOST_BYTES}")
    return len(body).to_bytes(_HEADER, "big") + body


def send(sock: socket.socket, message: dict[str, Any], fds: list[int] | tuple[int, ...] = ()) -> None:
    """Send one message over a blocking socket."""
    data = encode(message)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = sock.sendmsg([data], rights)
    if sent < len(data):
        sock.sendall(data[sent:])


def parcel(fds: Sequence[int]) -> socket.socket:
    """A socket in which these descriptors wait for a process that the launcher makes. The launcher itself never has
    them: they may be strangers', and any close(2) of such a one may take as long as they like (sockets.letting_go).
    Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        try:
            socket.send_fds(ours, [b"."], fds)
        except OSError:
            theirs.close()
            raise
    return theirs


def unpacked(fd: int) -> list[int]:
    """What is in a parcel (close-on-exec); takes it over."""
    with socket.socket(fileno=fd) as box:
        _, fds, _, _ = socket.recv_fds(box, 1, MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    return fds


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its descriptors (close-on-exec) from a blocking socket; None when the peer is gone, be it
    in the middle of a message. Raises ValueError for what is no message."""
    fds: list[int] = []
    try:
        header = _exactly(sock, _HEADER, fds)
        size = int.from_bytes(header, "big")
        if size > MOST_BYTES:
            raise ValueError(f"a message of {size} bytes; the most is {MOST_BYTES}")
        message: dict[str, Any] = json.loads(_exactly(sock, size, fds))
    except (EOFError, OSError, ValueError) as error:
        for fd in fds:
            os.close(fd)
        if isinstance(error, ValueError):
            raise
        return None
    return message, fds


def _exactly(sock: socket.socket, size: int, fds: list[int]) -> bytes:
    """So many bytes; the descriptors beside them are added to `fds`. Raises EOFError when there are no more.

    Not with MSG_WAITALL: a signal ends that early once some bytes have come (recv(2)).
    """
    data = bytearray()
    while len(data) < size:
        piece, ancillary, _, _ = sock.recvmsg(
            min(size - len(data), _PIECE), socket.CMSG_SPACE(MOST_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC
        )
        for level, kind, packed in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                received = array.array("i")
                received.frombytes(packed[: len(packed) - len(packed) % received.itemsize])
                fds += received
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)

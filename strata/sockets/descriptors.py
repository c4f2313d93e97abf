# SPDX-License-Identifier: MIT
"""Descriptors that travel with frames (SCM_RIGHTS, unix(7)): they are sent with the first bytes of a frame."""

from __future__ import annotations

import array
import socket
from collections.abc import Sequence
from typing import NamedTuple

from strata.errors import InvalidArgument
from strata.sockets.frame import MAX_DESCRIPTORS

_ONE = array.array("i").itemsize
_ROOM = socket.CMSG_SPACE(MAX_DESCRIPTORS * _ONE)


class Passed(NamedTuple):
    """What came with one piece of a stream. `cut`: the kernel had to drop some (MSG_CTRUNC, recvmsg(2))."""

    descriptors: tuple[int, ...]
    cut: bool


def receive(sock: socket.socket, size: int) -> tuple[bytes, Passed | None]:
    """At most `size` bytes, and the descriptors that came with them, close-on-exec. Raises OSError.

    The kernel ends a piece behind the bytes that carried descriptors: they belong to the last frame in it.
    """
    data, ancillary, flags, _ = sock.recvmsg(size, _ROOM, socket.MSG_CMSG_CLOEXEC)
    if not ancillary and not flags & socket.MSG_CTRUNC:
        return data, None
    found = array.array("i")
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found.frombytes(raw[: len(raw) - len(raw) % _ONE])
    return data, Passed(tuple(found), bool(flags & socket.MSG_CTRUNC))


def send(sock: socket.socket, framed: bytes, descriptors: Sequence[int]) -> int:
    """Send the first bytes of a frame with its descriptors; how many bytes went. Raises OSError, InvalidArgument."""
    if len(descriptors) > MAX_DESCRIPTORS:
        raise InvalidArgument(f"cannot send {len(descriptors)} descriptors: a frame carries {MAX_DESCRIPTORS}")
    return sock.sendmsg([framed], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])

# SPDX-License-Identifier: MIT
"""Who is at the other end of a unix socket: told by the kernel, never by the peer."""

from __future__ import annotations

import socket
import struct

from strata.types import Peer

_UCRED = struct.Struct("=iII")
_SO_PEERGROUPS = 59  # include/uapi/asm-generic/socket.h; Python has no name for it
_MOST_GROUPS = 256


def credentials(sock: socket.socket) -> Peer:
    """Peer's pid, uid, gid and supplementary groups as they were at connect(2) (SO_PEERCRED, unix(7))."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid, gid, _groups(sock))


def _groups(sock: socket.socket) -> tuple[int, ...]:
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:  # ERANGE: more groups than we look at. Fewer groups can only mean fewer rights.
        return ()
    return tuple(group for (group,) in struct.iter_unpack("=I", raw))

# SPDX-License-Identifier: MIT
"""How much of a server one peer, and all of them together, may take."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Bounds of one server. Listed in docs/protocol.md; each has a test."""

    connections: int = 1024  # in all
    reserved_connections: int = 64  # of these, kept for root and our own uid: a crowd cannot lock the operator out
    connections_per_uid: int = 256  # of one uid that is neither root nor ours
    waiting_bytes: int = 65_536  # of frames behind a running call of the same connection; the rest waits in the kernel
    partial_bytes: int = 32 * 1_048_576  # of frames unfinished or waiting, over all connections
    waiting_descriptors: int = 8  # that came with such frames, of one connection
    descriptors_per_uid: int = 64  # with frames unfinished or waiting, of one uid that is neither root nor ours
    unread_bytes: int = 48 * 1_048_576  # of answers that peers are slow to read; who has been longest is dropped first
    frames_per_turn: int = 32  # answered in one go; then the other connections have their turn
    frame_seconds: float = 30.0  # from a frame's first byte to its last
    write_seconds: float = 30.0  # a peer that reads nothing for so long is dropped


LIMITS = Limits()

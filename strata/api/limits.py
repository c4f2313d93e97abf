# SPDX-License-Identifier: MIT
"""How much of the door one client, and all of them together, may take."""

from __future__ import annotations

from typing import NamedTuple


class DoorLimits(NamedTuple):
    """Bounds of the door. Listed in docs/limits.md; each has a test."""

    connections: int = 2048  # of clients; one more is told 503 and closed
    room_connections: int = 1024  # one each call; the room gives one uid 2048
    kept_room_connections: int = 64  # of these, between calls
    reserved_room_connections: int = 32  # of these, kept for calls that are answered at once: stats, list, describe
    waiting_calls: int = 256  # for a connection to the room; one more is refused
    wait_seconds: float = 10.0  # for a connection to the room
    calls_per_token: int = 512  # in flight; one more is refused, so that no holder takes the whole door
    header_bytes: int = 65_536  # request line and headers of one request
    body_bytes: int = 1_000_000  # of a JSON body: with its envelope it must fit one frame of the room
    held_bytes: int = 134_217_728  # of bodies that are coming and answers that are not taken; who was first is dropped
    header_seconds: float = 10.0  # from a request's first byte to its last header
    body_seconds: float = 30.0  # between two pieces of a body
    idle_seconds: float = 75.0  # between two requests
    write_seconds: float = 60.0  # a client that reads nothing for so long is dropped
    message_bytes: int = 1_048_576  # of one WebSocket message
    ping_seconds: float = 20.0  # between pings, and for the answer to one
    reattach_seconds: float = 30.0  # a terminal waits so long for a room that is starting again


LIMITS = DoorLimits()

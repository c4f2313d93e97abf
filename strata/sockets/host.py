# SPDX-License-Identifier: MIT
"""What a connection needs of the server that it belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from strata.errors import StrataError
from strata.sockets import message
from strata.sockets.inbox import Inbox
from strata.sockets.limits import Limits
from strata.sockets.method import Call, Method
from strata.types import Peer

if TYPE_CHECKING:
    from strata.sockets.connection import Connection


class Host(Protocol):
    """The server, as one of its connections needs it."""

    limits: Limits
    methods: dict[str, Method]
    tasks: set[asyncio.Task[None]]
    partial_bytes: int

    closing: bool

    def admit(self, connection: Connection, ours: int) -> StrataError | None:
        """Count a new connection, or say why its peer may not have it."""

    def forget(self, connection: Connection) -> None:
        """Count it no more."""

    def inbox(self, who: Peer, ours: int) -> Inbox | None:
        """Where the descriptors of a connection wait; None where none can come."""

    def hold_answers(self, connection: Connection, size: int) -> None:
        """A peer does not read `size` bytes of answers."""

    def release_answers(self, connection: Connection) -> None:
        """The peer has read them, or is gone."""

    def answer(self, call: Call, method: Method | None, request: message.Request) -> Any:
        """Result, awaitable or async iterator of a call. Raises StrataError."""

    def failure(self, call: Call, error: Exception) -> bytes:
        """The framed answer to a call that failed."""

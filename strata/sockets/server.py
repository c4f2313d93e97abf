# SPDX-License-Identifier: MIT
"""The server side of the wire: many connections, each answered strictly in order, one call at a time (spec 1.3).

Nothing a peer sends or fails to read can take more than its share: every bound stands in limits.py.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import inspect
import logging
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from strata.errors import Internal, InvalidArgument, PermissionDenied, ResourceExhausted, StrataError, Unauthenticated
from strata.sockets import letting_go, message, params
from strata.sockets.connection import Connection
from strata.sockets.inbox import Inbox
from strata.sockets.limits import LIMITS, Limits
from strata.sockets.method import Call, Method
from strata.sockets.transport import Acceptor
from strata.types import Access, Peer

log = logging.getLogger(__name__)

Gate = Callable[[Access, Call], Any]
"""Decides whether a call may go on: returns the claims of its token (or None), or raises 2 or 3."""

Denied = Callable[[Call, StrataError], None]
"""Told of every refusal (codes 2 and 3), for the audit."""

_FLUSH_SECONDS = 0.2  # at the end, for peers to read the last answers
_HEAR_SECONDS, _LOOK_SECONDS = 0.25, 0.01
"""At the end, for those who have connected and not spoken yet, and how often they are looked at meanwhile."""


def _kept(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """What keeps the socket's file when a server closes: it is systemd's, and Python 3.13 removes it if not told."""
    known = inspect.signature(loop.create_unix_server).parameters
    return {"cleanup_socket": False} if "cleanup_socket" in known else {}


class Server:
    """One room behind one or more listening sockets. `descriptors`: its peers may pass some with a frame. `greet` is
    called whenever one has connected."""

    def __init__(
        self,
        methods: Sequence[Method],
        room: Any,
        gate: Gate,
        denied: Denied,
        limits: Limits = LIMITS,
        *,
        descriptors: bool = False,
        greet: Callable[[], None] | None = None,
    ) -> None:
        self.methods = {method.name: method for method in methods}
        self.room, self.gate, self.denied, self.limits = room, gate, denied, limits
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.per_uid: collections.Counter[int] = collections.Counter()
        self.descriptors: collections.Counter[int] = collections.Counter()  # that wait, by uid
        self.takes_descriptors = descriptors
        self._greet = greet
        self.partial_bytes = 0
        self.unread_bytes = 0
        self._unread: dict[Connection, int] = {}  # by how long they have been
        self.closing = False
        self._empty = asyncio.Event()
        self._listeners: list[asyncio.AbstractServer | Acceptor] = []

    async def listen(self, sock: socket.socket) -> None:
        """Accept on `sock` (already bound and listening) until `close`."""
        loop = asyncio.get_running_loop()
        if self.takes_descriptors or not letting_go.refuse(sock):
            self._listeners.append(Acceptor(loop, sock, lambda: Connection(self)))
        else:
            connected, kept = lambda: Connection(self), _kept(loop)
            self._listeners.append(await loop.create_unix_server(connected, sock=sock, **kept))

    async def close(self, grace: float = 1.0) -> None:
        """Take no more calls, let running ones end for `grace` seconds, then cancel them and drop every connection.

        Who has just connected is answered once. What comes later stays unread, and the kernel tells its sender so
        (ECONNRESET, unix(7)): it has not been done, and may be asked of our successor.
        """
        for listener in self._listeners:
            listener.close()
        await self._hear_out()
        self.closing = True
        for connection in self.connections:
            connection.read_no_more()
        idle = {one.task for one in self.connections if one.cancel_on_hangup and not one.finishes}
        if waiting := self.tasks - idle:
            await asyncio.wait(waiting, timeout=grace)
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._hang_up()

    async def _hear_out(self) -> None:
        await asyncio.sleep(_LOOK_SECONDS)  # who was accepted last may not have been told of yet
        deadline = asyncio.get_running_loop().time() + _HEAR_SECONDS
        while any(not connection.heard for connection in self.connections):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _hang_up(self) -> None:
        for connection in tuple(self.connections):
            connection.close()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _FLUSH_SECONDS)
        for connection in tuple(self.connections):
            connection.drop()
        await asyncio.sleep(0)  # lets the transports run their connection_lost

    # --- for the connections

    def admit(self, connection: Connection, ours: int) -> StrataError | None:
        """Count a new connection; or say why its peer may not have it (then it is not counted)."""
        refused = self._refusal(connection.peer, ours)
        if not refused:
            self.connections.add(connection)
            self.per_uid[connection.peer.uid] += 1
            self._empty.clear()
            if self._greet:
                self._greet()
        return refused

    def forget(self, connection: Connection) -> None:
        """The connection is gone; one that was not admitted was never here."""
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        self.per_uid[connection.peer.uid] -= 1
        if not self.per_uid[connection.peer.uid]:
            del self.per_uid[connection.peer.uid]
        if not self.connections:
            self._empty.set()

    def inbox(self, who: Peer, ours: int) -> Inbox | None:
        """Where the descriptors of a connection wait; None where none can come."""
        if not self.takes_descriptors:
            return None
        most = sys.maxsize if who.uid in (0, ours) else self.limits.descriptors_per_uid
        return Inbox(self.descriptors, who.uid, most)

    def hold_answers(self, connection: Connection, size: int) -> None:
        """A peer does not read its answers. When too many bytes wait in all, who has read nothing for longest goes."""
        self._unread[connection] = size
        self.unread_bytes += size
        while self.unread_bytes > self.limits.unread_bytes:
            longest = next(iter(self._unread))
            self.release_answers(longest)
            log.info("dropping a connection of uid %s: it does not read its answers", longest.peer.uid)
            asyncio.get_running_loop().call_soon(longest.drop)  # not now: it may be in the middle of writing

    def release_answers(self, connection: Connection) -> None:
        """The peer has read them, or is gone."""
        self.unread_bytes -= self._unread.pop(connection, 0)

    def answer(self, call: Call, method: Method | None, request: message.Request) -> Any:
        """Result, awaitable or async iterator of a call. Raises StrataError."""
        if request.v != message.VERSION:
            raise InvalidArgument(f"unsupported protocol version {request.v}: this is version {message.VERSION}")
        if method is None:
            raise InvalidArgument(f"unknown method: {request.method}")
        claims = self.gate(method.access, call)
        if claims is not None:
            call = call._replace(claims=claims)
        return method.run(self.room, call, params.read(method.params, request.params))

    def failure(self, call: Call, error: Exception) -> bytes:
        """The framed answer to a call that failed; the unexpected is logged whole and told as one plain sentence."""
        try:
            if isinstance(error, StrataError):
                if isinstance(error, Unauthenticated | PermissionDenied):
                    self.denied(call, error)
                return message.encode_error(call.req_id, error)
        except Exception as second:  # noqa: BLE001  the audit failed, or the error's details are not JSON: our own fault
            error = second
        log.error("cannot answer %s (req_id %.64r)", call.method, call.req_id, exc_info=error)
        plain = Internal("internal error; the journal has the details", req_id=call.req_id[:64])
        return message.encode_error(call.req_id, plain)

    def _refusal(self, who: Peer, ours: int) -> StrataError | None:
        trusted, limits = who.uid in (0, ours), self.limits
        most = limits.connections if trusted else limits.connections - limits.reserved_connections
        if len(self.connections) >= most:
            return ResourceExhausted(f"cannot accept: {len(self.connections)} connections are open; close some")
        if not trusted and self.per_uid[who.uid] >= limits.connections_per_uid:
            most = limits.connections_per_uid
            return ResourceExhausted(f"cannot accept: uid {who.uid} has {most} connections open; close some")
        return None

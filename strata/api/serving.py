# SPDX-License-Identifier: MIT
"""Listening: every accepted connection is sniffed, after its handshake if there is TLS, and gets the protocol that its
client speaks."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Protocol

from strata.api.encrypted import Encrypted
from strata.api.limits import LIMITS, DoorLimits
from strata.api.sniffing import Factory, Silent, Sniffer

_HEAR_SECONDS, _LOOK_SECONDS = 0.25, 0.01


class Serving(Protocol):
    """One protocol's server: a factory of connections, and an end."""

    def protocol(self) -> asyncio.Protocol:
        """The protocol of one more connection."""

    async def close(self) -> None:
        """Let running calls end, a short while, then cancel them and close every connection."""


class Server:
    """The door's server: HTTP/1 (with WebSockets and MCP) and HTTP/2 (gRPC) on the same sockets."""

    def __init__(
        self, http1: Serving, http2: Serving, limits: DoorLimits = LIMITS, tls: ssl.SSLContext | None = None
    ) -> None:
        """With `tls`, nothing else is spoken."""
        self._protocols = (http1, http2)
        self._tls = tls
        self._silent = Silent(limits.connections, limits.header_seconds)
        self._listeners: list[asyncio.AbstractServer] = []

    async def listen(self, sock: socket.socket) -> None:
        """Accept on `sock` (already bound and listening) until `close`."""
        loop = asyncio.get_running_loop()
        _notice_the_dead(sock)
        self._listeners.append(await loop.create_server(self._connection, sock=sock))

    async def close(self) -> None:
        """Take no more connections and end those that there are."""
        for listener in self._listeners:
            listener.close()
        await self._hear_out()
        await asyncio.gather(*(protocol.close() for protocol in self._protocols))

    async def _hear_out(self) -> None:
        """Who has connected and not spoken yet is about to, unless he is idle."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _HEAR_SECONDS
        while len(self._silent):
            if loop.time() > deadline:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _connection(self) -> asyncio.BaseProtocol:
        return Encrypted(self._tls, self._sniffer, self._silent) if self._tls else self._sniffer()

    def _sniffer(self) -> Sniffer:
        factories: tuple[Factory, Factory] = (self._protocols[0].protocol, self._protocols[1].protocol)
        return Sniffer(*factories, self._silent)


def _notice_the_dead(sock: socket.socket) -> None:
    """A client that vanished without a word holds a stream that has nothing to say; accepted sockets inherit this
    (tcp(7)): asked after a minute of silence, given up after a minute without an answer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 20), (socket.TCP_KEEPCNT, 3)):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)

# SPDX-License-Identifier: MIT
"""One port, two protocols: the first bytes of a connection say whether it is HTTP/2 (gRPC) or HTTP/1.

A client that knows that its server speaks HTTP/2 begins with a fixed preface (RFC 9113, 3.4), which is no request of
HTTP/1. As soon as the bytes differ from it, or all of it is there, the connection gets the protocol that it needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Factory = Callable[[], asyncio.Protocol]


class Silent:
    """Those who have said too little as yet. A crowd of them keeps nobody out: who has been silent longest goes."""

    def __init__(self, most: int, patience: float) -> None:
        """`patience`: seconds until one is dropped in any case."""
        self.most, self.patience = most, patience
        self._there: dict[asyncio.Transport, None] = {}

    def __len__(self) -> int:
        return len(self._there)

    def add(self, transport: asyncio.Transport) -> None:
        """One more."""
        self._there[transport] = None
        if len(self._there) > self.most:
            oldest = next(iter(self._there))
            self.discard(oldest)
            oldest.abort()

    def discard(self, transport: asyncio.Transport) -> None:
        """It has said enough, or is gone."""
        self._there.pop(transport, None)


class Sniffer(asyncio.Protocol):
    """The first protocol of every connection; it hands over as soon as it knows."""

    def __init__(self, http1: Factory, http2: Factory, silent: Silent) -> None:
        self._http1, self._http2, self._silent = http1, http2, silent
        self._seen = b""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._silent.patience, self._transport.abort)
        self._silent.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(PREFACE):
            self._hand_over(self._http2)
        elif not PREFACE.startswith(self._seen):
            self._hand_over(self._http1)

    def _hand_over(self, factory: Factory) -> None:
        self._stop_waiting()
        protocol = factory()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._seen)

    def _stop_waiting(self) -> None:
        self._silent.discard(self._transport)
        if self._timer:
            self._timer.cancel()
            self._timer = None

# SPDX-License-Identifier: MIT
"""WebSocket connections: uvicorn's protocol over websockets, for clients that do not keep to RFC 6455."""

from __future__ import annotations

import logging

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidMessage

EARLY_BYTES = 65_536
"""A client may send so many before its upgrade is answered, which it should wait for (RFC 6455, 4.1)."""

_ABNORMAL = 1006


class Upgraded(WebSocketsSansIOProtocol):
    """One connection, from the upgrade on."""

    _early = 0

    def data_received(self, data: bytes) -> None:
        if self.handshake_initiated and not self.handshake_complete:
            self._early += len(data)
            if self._early > EARLY_BYTES:  # nothing is read of it before, so it would be kept
                self.transport.abort()
                return
        super().data_received(data)

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:  # it was wrong before there was anything to close
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _ABNORMAL})
            self.close_sent = True
            self.transport.abort()
            return
        super().handle_parser_exception()

    @property
    def wrong(self) -> tuple[int, str] | None:
        """Status and sentence for what cannot be read as an upgrade: the library neither answers nor ends it."""
        error = self.conn.handshake_exc
        if error is None or self.transport.is_closing():
            return None
        if isinstance(error, InvalidMessage):
            return 400, "this is no upgrade to a WebSocket"
        return 431, "the headers are too large"  # more than 128 of them, or one of more than 8 KiB


def own_fault(record: logging.LogRecord) -> bool:
    """Of what the library logs as errors two are a client's: a text message of a WebSocket that is no text, and an
    upgrade that was refused with a response of ours."""
    return not str(record.msg).startswith(("Invalid UTF-8", "ASGI callable returned without completing handshake"))

# SPDX-License-Identifier: MIT
"""A connection with TLS: to the loop the first protocol of a connection, to the protocol behind it its transport.

The loop's own (start_tls) keeps half a MiB of buffers for each connection, which strangers could make it fill, and
knows nothing of handshakes that do not end. Here all share one buffer to read into, what was decrypted is handed on at
once, and what is written waits in the plain transport alone, so that its bounds hold as they do without TLS.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

from strata.api.sniffing import Silent

_SHARED = memoryview(bytearray(65_536))  # of one loop and one read: nothing stays in it
_ENDED = (ssl.SSLZeroReturnError, ssl.SSLEOFError)

log = logging.getLogger(__name__)


class Encrypted(asyncio.Transport, asyncio.BufferedProtocol):
    """Who does not get through the handshake is one of the silent, and dropped with them; then `following` makes the
    protocol that reads."""

    def __init__(self, tls: ssl.SSLContext, following: Callable[[], asyncio.Protocol], silent: Silent) -> None:
        super().__init__(extra={"sslcontext": tls})  # by which uvicorn tells https
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._following, self._silent = following, silent
        self._app: asyncio.Protocol | None = None
        self._closing = False
        self._timer: asyncio.TimerHandle
        self._plain: asyncio.Transport

    # --- the loop's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._silent.patience, self._plain.abort)
        self._silent.add(self._plain)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._stop_waiting()
        if self._app:
            self._app.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _SHARED

    def buffer_updated(self, nbytes: int) -> None:
        if self._closing:
            return
        self._incoming.write(_SHARED[:nbytes])
        try:
            if self._app or self._shaken():
                self._read()
        except _ENDED:
            self._ended()
        except ssl.SSLError as error:  # a client's own fault, and no news: what is no TLS, a certificate it refuses
            log.debug("dropping a connection: %s", error)
            self._closing = True
            self._flush()  # the alert says why
            self._plain.close()

    def eof_received(self) -> None:
        self._ended()

    def pause_writing(self) -> None:
        if self._app:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        if self._app:
            self._app.resume_writing()

    # --- the transport of the protocol behind

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return super().get_extra_info(name) or self._plain.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._app = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.Protocol, self._app)

    def is_closing(self) -> bool:
        return self._closing or self._plain.is_closing()

    def is_reading(self) -> bool:
        return self._plain.is_reading()

    def pause_reading(self) -> None:
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._plain.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._plain.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._plain.get_write_buffer_limits()

    def get_write_buffer_size(self) -> int:
        return self._plain.get_write_buffer_size()

    def write(self, data: Any) -> None:
        if data and not self._closing:
            self._tls.write(data)  # into memory: it never wants more room
            self._flush()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        """What was written is still sent, then that no more comes. The peer's own end is not waited for (RFC 8446,
        6.1)."""
        if self._closing:
            return
        self._closing = True
        try:
            self._tls.unwrap()
        except ssl.SSLError as error:  # it wants to read the peer's end
            log.debug("closing: %s", error)
        self._flush()
        self._plain.close()

    def abort(self) -> None:
        self._closing = True
        self._plain.abort()

    # ---

    def _shaken(self) -> bool:
        """Go on with the handshake; whether it has been done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._flush()
        self._stop_waiting()
        self._app = self._following()
        self._app.connection_made(self)
        return True

    def _read(self) -> None:
        """Hand on all that can be decrypted."""
        try:
            while not self._closing and (data := self._tls.read(len(_SHARED))):
                cast(asyncio.Protocol, self._app).data_received(data)
            if not self._closing:
                self._ended()
        except ssl.SSLWantReadError:
            self._flush()  # an answer to what was no data: a change of keys

    def _ended(self) -> None:
        if self._app and not self._closing:
            self._app.eof_received()  # with TLS nobody can be half closed
        self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._plain.write(self._outgoing.read())

    def _stop_waiting(self) -> None:
        self._silent.discard(self._plain)
        self._timer.cancel()

# SPDX-License-Identifier: MIT
"""A connection that descriptors can come over: the transports of asyncio and uvloop read with recv(2) and lose them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Protocol

from strata.sockets import descriptors
from strata.sockets.descriptors import Passed

PIECE = 65_536  # bytes read at once
HIGH_WATER, LOW_WATER = 65_536, 16_384  # bytes not written yet: above, the protocol pauses; below, it goes on
_ACCEPTED_PER_TURN = 16
_REST_SECONDS = 1.0  # after accept(2) found no free descriptor, as asyncio does
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))

log = logging.getLogger(__name__)


class Receiver(Protocol):
    """What the transport tells: asyncio.Protocol and one thing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def descriptors_received(self, data: bytes, passed: Passed) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Transport(asyncio.Transport):
    """One accepted unix stream socket, non-blocking; closes it at the end."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: Receiver) -> None:
        super().__init__({"socket": sock})
        self._loop, self._sock, self._protocol = loop, sock, protocol
        self._unsent = bytearray()
        self._reading = self._ended = self._full = self._closing = self._lost = False

    def start(self) -> None:
        """Tell the protocol, and read."""
        self._protocol.connection_made(self)
        self.resume_reading()

    # --- asyncio.Transport, as far as a Connection uses it

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def resume_reading(self) -> None:
        if not (self._reading or self._ended or self._closing):
            self._reading = True
            self._loop.add_reader(self._sock, self._readable)

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        if not self._unsent:
            sent = self._send(data)
            if sent == len(data) or self._lost:
                return
            self._loop.add_writer(self._sock, self._writable)
            data = data[sent:]
        self._unsent += data
        if len(self._unsent) > HIGH_WATER and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def close(self) -> None:
        """Close when what was written is sent."""
        self._closing = True
        self.pause_reading()
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        """Close now."""
        self._lose(None)

    # --- the loop's side

    def _readable(self) -> None:
        try:
            data, passed = descriptors.receive(self._sock, PIECE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        try:
            self._tell(data, passed)
        except Exception:  # the loop must outlive a fault of ours in one connection
            log.exception("dropping a connection: it could not be served")
            self.abort()

    def _tell(self, data: bytes, passed: Passed | None) -> None:
        if passed:
            self._protocol.descriptors_received(data, passed)
        elif data:
            self._protocol.data_received(data)
        else:
            self._ended = True
            self.pause_reading()
            if not self._protocol.eof_received():
                self.close()

    def _writable(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if self._lost:
            return
        if not self._unsent:
            self._loop.remove_writer(self._sock)
        if self._full and len(self._unsent) <= LOW_WATER:
            self._full = False
            self._protocol.resume_writing()
        if self._closing and not self._unsent:
            self._lose(None)

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._lose(error)
            return 0

    def _lose(self, error: OSError | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self.pause_reading()
        self._loop.remove_writer(self._sock)
        self._unsent = bytearray()
        self._loop.call_soon(self._finish, error)

    def _finish(self, error: OSError | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._sock.close()


class Acceptor:
    """Takes connections from a listening socket, some at a time, and gives each a Transport; owns the socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, make: Callable[[], Receiver]) -> None:
        self._loop, self._sock, self._make = loop, sock, make
        self._resting: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._begin()

    def close(self) -> None:
        """Accept no more; connections go on."""
        if self._sock.fileno() < 0:
            return
        if self._resting:
            self._resting.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _begin(self) -> None:
        self._resting = None
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_PER_TURN):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._rest(error)
                return
            self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
            Transport(self._loop, sock, self._make()).start()
        except OSError as error:
            log.info("dropping a connection: %s", error)
            sock.close()

    def _rest(self, error: OSError) -> None:
        log.warning("cannot accept a connection, waiting for %g s: %s", _REST_SECONDS, error.strerror)
        self._loop.remove_reader(self._sock)
        self._resting = self._loop.call_later(_REST_SECONDS, self._begin)

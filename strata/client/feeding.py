# SPDX-License-Identifier: MIT
"""Sending a body: piece by piece, and if need be beside the reading of the response."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator

PIECE = 262_144


def pieces(source: int) -> Iterator[bytes]:
    """All that can be read from a descriptor."""
    while piece := os.read(source, PIECE):
        yield piece


class Feeding:
    """A thread that sends what can be read from `source` as chunks (RFC 9112, 7.1) until it ends, or we do."""

    def __init__(self, sock: socket.socket, source: int) -> None:
        self._sock, self._source = sock, source
        self._stop_read, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._feed, name="strata-stdin", daemon=True)

    def __enter__(self) -> Feeding:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._stop)
        with contextlib.suppress(OSError):  # it has hung up already; who sends then stops waiting
            self._sock.shutdown(socket.SHUT_WR)
        self._thread.join()
        os.close(self._stop_read)

    def _feed(self) -> None:
        with contextlib.suppress(OSError):  # the door takes no more: its response says why
            while piece := self._next():
                self._sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            if piece is not None:
                self._sock.sendall(b"0\r\n\r\n")

    def _next(self) -> bytes | None:
        """The next piece; none at the end of the source, None at ours."""
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._stop_read, 0)
        if any(fd == self._stop_read for fd, _ in poll.poll()):
            return None
        return os.read(self._source, PIECE)

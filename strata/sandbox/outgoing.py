# SPDX-License-Identifier: MIT
"""Messages with descriptors on their way into a socket: whole and in order, however slow the reader."""

from __future__ import annotations

import array
import asyncio
import socket
from collections import deque
from collections.abc import Sequence


class Outgoing:
    """What a non-blocking stream socket does not take at once waits here. Owns neither the socket nor descriptors."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, Sequence[int]]] = deque()
        self._listening = False

    def send(self, data: bytes, fds: Sequence[int]) -> None:
        """Send it, now or later; the descriptors stay open until it is answered. That the peer is gone shows where its
        answers are read."""
        self._waiting.append((data, fds))
        if not self._listening:
            self._flush()

    def close(self) -> None:
        """Send nothing more."""
        self._listen(False)
        self._waiting.clear()

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._send_first()
        except BlockingIOError:
            self._listen(True)
        except OSError:
            self.close()
        else:
            self._listen(False)

    def _send_first(self) -> None:
        data, fds = self._waiting[0]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self._sock.sendmsg([data], rights)
        if sent < len(data):
            self._waiting[0] = (data[sent:], ())
        else:
            self._waiting.popleft()

    def _listen(self, wanted: bool) -> None:
        if wanted and not self._listening:
            self._loop.add_writer(self._sock, self._flush)
        elif self._listening and not wanted:
            self._loop.remove_writer(self._sock)
        self._listening = wanted

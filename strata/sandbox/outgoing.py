# SPDX-License-Identifier: MIT
"""Messages with descriptors on their way into a socket: whole and in order, whatever becomes of who sent them."""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Sequence


class Copies:
    """Copies of descriptors, closed at the end of the block unless they were `taken`.

    A descriptor's number may mean another file by the time a message is sent: its owner may close it at any moment.
    """

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds: list[int] = []
        try:
            for fd in fds:
                self._fds.append(os.dup(fd))
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Copies:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def taken(self) -> list[int]:
        """They are the caller's now."""
        fds, self._fds = self._fds, []
        return fds

    def close(self) -> None:
        """Let go of those that nobody took."""
        for fd in self.taken():
            os.close(fd)


class Outgoing:
    """What a non-blocking stream socket does not take at once waits here. Does not own the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._listening = False

    def send(self, data: bytes, copies: Copies) -> None:
        """Send it, now or later; takes the copies. That the peer is gone shows where its answers are read."""
        self._waiting.append((data, copies.taken()))
        if not self._listening:
            self._flush()

    def close(self) -> None:
        """Send nothing more."""
        self._listen(False)
        for _, fds in self._waiting:
            _close(fds)
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
        _close(fds)
        if sent < len(data):
            self._waiting[0] = (data[sent:], [])
        else:
            self._waiting.popleft()

    def _listen(self, wanted: bool) -> None:
        if wanted and not self._listening:
            self._loop.add_writer(self._sock, self._flush)
        elif self._listening and not wanted:
            self._loop.remove_writer(self._sock)
        self._listening = wanted


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)

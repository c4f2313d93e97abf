# SPDX-License-Identifier: MIT
"""One who looks at a terminal and types into it, at the other end of a socket.

The ring is his buffer: he is sent what it has as fast as he reads. One who falls behind by more than the ring keeps,
or reads nothing for a while, is dropped; he may come back with the offset that he was told.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from typing import Any, NamedTuple, Protocol

from strata.sandbox.ring import Ring

STALL_SECONDS = 15.0
"""One who reads nothing for so long while there is something for him is dropped."""

_PIECE = 65_536
_READ_BYTES = 16_384
_REST_PIECES = 16


class Size(NamedTuple):
    """Of a window, in characters."""

    rows: int
    cols: int


class Watched(Protocol):
    """The terminal, as one of its viewers needs it."""

    ring: Ring

    def typed(self, viewer: Viewer, data: bytes) -> None:
        """Bytes for whoever reads from the terminal."""

    def read_on(self) -> None:
        """A viewer has made room, or is gone."""


class Viewer:
    """Owns its socket. `ended` is done when it is over for this viewer, with what he is to be told."""

    def __init__(self, terminal: Watched, number: int, sock: socket.socket, begin: int, size: Size | None) -> None:
        self.number, self.begin, self.sent, self.size = number, begin, begin, size
        self.ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._terminal, self._sock = terminal, sock
        self._blocked = False
        self._last_word: dict[str, Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self.listen(True)

    @property
    def behind(self) -> int:
        """Bytes that are kept for him and not sent yet."""
        return self._terminal.ring.end - self.sent

    def show(self) -> None:
        """Send what there is, as far as he takes it."""
        if self._blocked and self.sent < self._terminal.ring.start:
            self.leave({"ended": "slow", "offset": self.sent})
        while not self._blocked and not self.ended.done():
            piece = self._terminal.ring.read(self.sent, _PIECE)
            if piece.lost:
                self.leave({"ended": "slow", "offset": self.sent})
            elif not piece.data:
                break
            else:
                self._send(piece.data)
        if self._last_word and not self.behind:
            self.leave(self._last_word)

    def listen(self, wanted: bool) -> None:
        """Whether to take what he types; he waits while the terminal has no room for it."""
        if self.ended.done():
            return
        if wanted:
            self._loop.add_reader(self._sock, self._read)
        else:
            self._loop.remove_reader(self._sock)

    def finish(self, last_word: dict[str, Any], seconds: float) -> None:
        """The terminal has ended: once he has read what it wrote, or had so much time for it, he is told so."""
        self.listen(False)
        self._last_word = last_word
        self._set_timer(seconds, last_word)
        self.show()

    def leave(self, last_word: dict[str, Any]) -> None:
        """It is over now."""
        if self.ended.done():
            return
        self._take_the_rest()  # first: the terminal listens to him again for each piece that it has taken
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        if self._timer:
            self._timer.cancel()
        self._sock.close()
        self.ended.set_result(last_word)
        self._terminal.read_on()

    def _send(self, data: bytes) -> None:
        try:
            self.sent += self._sock.send(data)
        except BlockingIOError:
            self._blocked = True
            self._loop.add_writer(self._sock, self._has_room)
            if not self._last_word:
                self._set_timer(STALL_SECONDS, {"ended": "slow", "offset": self.sent})
        except OSError:  # he hung up
            self.leave({"ended": "closed"})

    def _has_room(self) -> None:
        self._blocked = False
        self._loop.remove_writer(self._sock)
        if self._timer and not self._last_word:
            self._timer.cancel()
        self.show()
        self._terminal.read_on()

    def _take_the_rest(self) -> None:
        """What he typed before he left was typed: he may have left before it was read."""
        with contextlib.suppress(OSError):
            for _ in range(_REST_PIECES):
                if not (data := self._sock.recv(_READ_BYTES)):
                    return
                self._terminal.typed(self, data)

    def _set_timer(self, seconds: float, last_word: dict[str, Any]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.leave, last_word)

    def _read(self) -> None:
        try:
            data = self._sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._terminal.typed(self, data)
        elif _hung_up(self._sock):
            self.leave({"ended": "closed"})
        else:
            self.listen(False)  # he types no more, but looks on


def _hung_up(sock: socket.socket) -> bool:
    """Whether the other end is closed, not only shut down for writing (poll(2))."""
    poll = select.poll()
    poll.register(sock, 0)
    return bool(poll.poll(0))

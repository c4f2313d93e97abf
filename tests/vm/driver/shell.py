# SPDX-License-Identifier: MIT
"""The wire to the shell in the machine (tests/vm/image/tree/usr/libexec/backdoor): lines there and back."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from driver.trouble import Trouble

_READY = b"the driver's shell is ready\n"
_LOOK_SECONDS = 5.0


class Shell:
    """The virtual console's other end. `last_words` tells what to print when it falls silent."""

    def __init__(self, end: socket.socket, last_words: Callable[[], str]) -> None:
        self._end, self._last_words, self._held = end, last_words, b""

    def await_ready(self, seconds: float) -> None:
        """Until the machine has booted to its shell. Raises Trouble."""
        deadline = time.monotonic() + seconds
        while _READY not in self._held:
            self._more(deadline)
        self._held = self._held.split(_READY, 1)[1]

    def line(self, seconds: float) -> str:
        """The next line. Raises Trouble."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._held:
            self._more(deadline)
        line, self._held = self._held.split(b"\n", 1)
        return line.decode(errors="replace")

    def send(self, text: str) -> None:
        """Type it."""
        self._end.settimeout(60.0)
        self._end.sendall(text.encode())

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    def _more(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Trouble(f"the shell does not answer; {self._last_words()}")
        self._end.settimeout(min(left, _LOOK_SECONDS))
        try:
            data = self._end.recv(1 << 16)
        except TimeoutError:
            return
        if not data:
            raise Trouble(f"the machine has ended; {self._last_words()}")
        self._held += data

# SPDX-License-Identifier: MIT
"""A person at a real pseudo-terminal: types at a program, reads what it shows, and never waits for ever."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE = 15.0


class Typist:
    """One program with its terminal. `shown` is all that came so far, as bytes."""

    def __init__(self, pid: int, fd: int) -> None:
        self.pid, self.fd = pid, fd
        self.shown = b""
        self._code: int | None = None

    def type(self, text: str | bytes) -> None:
        """Press keys; Enter is \\r."""
        os.write(self.fd, text.encode() if isinstance(text, str) else text)

    def read_until(self, wanted: str, seconds: float = PATIENCE) -> re.Match[bytes]:
        """Wait until what is shown from here on matches; later readings begin behind it."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(wanted.encode(), self.shown)):
            left = deadline - time.monotonic()
            assert left > 0, f"{wanted!r} was not shown within {seconds:g} s, but {self.shown!r}"
            assert self._more(left), f"it ended before {wanted!r} was shown: {self.shown!r}"
        self.shown = self.shown[found.end() :]
        return found

    def _more(self, seconds: float) -> bool:
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65_536)
        except OSError:  # EIO: the last one who had the terminal open has gone
            data = b""
        self.shown += data
        return bool(data)

    def size(self, rows: int, cols: int) -> None:
        """Pull the window to another size."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def modes(self) -> list[object]:
        """How the terminal is set (termios(3))."""
        return list(termios.tcgetattr(self.fd))

    def end(self, seconds: float = PATIENCE) -> int:
        """Read all that still comes, and wait for its exit code; 128 + N for signal N."""
        deadline = time.monotonic() + seconds
        while self._code is None:
            assert time.monotonic() < deadline, f"it has not ended, and shows {self.shown!r}"
            self._more(0.05)
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                self._code = 128 - code if code < 0 else code
        while select.select([self.fd], [], [], 0)[0] and self._more(0):
            pass
        return self._code

    def close(self) -> None:
        """End it, whatever it does."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@contextlib.contextmanager
def typing(argv: Sequence[str | Path], env: Mapping[str, str], rows: int = 24, cols: int = 80) -> Iterator[Typist]:
    """Start a program on a terminal of its own."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            os.chdir("/")
            os.execvpe(argv[0], list(map(os.fspath, argv)), dict(env))
        finally:
            os._exit(127)
    typist = Typist(pid, fd)
    try:
        typist.size(rows, cols)
        yield typist
    finally:
        typist.close()

# SPDX-License-Identifier: MIT
"""Programs that were started for a sandbox, and what is read from them, each within a time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PIDS: set[int] = set()
"""Of programs that somebody here waits for."""

PATIENCE_SECONDS = 30.0
"""For any one answer; so also the longest that a hundred at once may take."""
_PIECE = 1_048_576


class Started:
    """A program with a pipe to it and one from it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], errors: Path) -> None:
        self.argv, self.errors = argv, errors
        with errors.open("wb") as file:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=dict(env),
                start_new_session=True,
                bufsize=0,
            )
        PIDS.add(self.process.pid)
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._left_over = b""

    def ask(self, line: str, answer: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Write a line and read until it is answered. Raises RuntimeError and TimeoutError."""
        os.write(self.stdin, line.encode() + b"\n")
        self.wait_for(answer, seconds)

    def wait_for(self, answer: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Read until a line of this content came. Raises RuntimeError and TimeoutError."""
        deadline, wanted = time.monotonic() + seconds, answer.encode() + b"\n"
        found = self._left_over
        while wanted not in found:
            found += self._some(deadline)
        self._left_over = found.partition(wanted)[2]

    def drain(self, size: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Read so many bytes; nobody looks at them."""
        deadline, got = time.monotonic() + seconds, len(self._left_over)
        self._left_over = b""
        while got < size:
            got += len(self._some(deadline))

    def whole(self, seconds: float = PATIENCE_SECONDS) -> bytes:
        """All that it writes until it ends. Raises RuntimeError when it fails."""
        deadline, found = time.monotonic() + seconds, self._left_over
        self._close_stdin()
        while piece := self._some(deadline, may_end=True):
            found += piece
        if self.wait(deadline - time.monotonic()):
            raise RuntimeError(self._failure())
        return found

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code."""
        code = self.process.wait(max(0.1, seconds))
        PIDS.discard(self.process.pid)
        self._close()
        return code

    def stop(self, how: signal.Signals, seconds: float = 5.0) -> None:
        """Send a signal, the last one after a while."""
        self._close_stdin()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()

    def _some(self, deadline: float, may_end: bool = False) -> bytes:
        left = deadline - time.monotonic()
        poll = select.poll()
        poll.register(self.stdout, select.POLLIN)
        if left <= 0 or not poll.poll(left * 1e3):
            raise TimeoutError(f"{self.argv[0]} did not answer in time; it said: {self._words()}")
        piece = os.read(self.stdout, _PIECE)
        if not piece and not may_end:
            raise RuntimeError(self._failure())
        return piece

    def _failure(self) -> str:
        return f"{' '.join(self.argv)[:200]} … ended too early: {self._words()}"

    def _words(self) -> str:
        try:
            return self.errors.read_text(errors="replace").strip()[-600:]
        except OSError:
            return ""

    def _close_stdin(self) -> None:
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()

    def _close(self) -> None:
        self._close_stdin()
        if self.process.stdout:
            self.process.stdout.close()

# SPDX-License-Identifier: MIT
"""A service to measure process managers with: it says its name into a pipe as soon as it runs, and waits for ever.

The same program for all of them, a small `sh`; whoever hears it say its name knows that it runs, whatever its manager
believes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DEADLINE = 30.0
_PIPE_BYTES = 1_048_576
_PROGRAM = '#!/bin/sh\necho "$1" >{said}\nread nothing <{hold}\n'


class Fleet:
    """The program, and the ear."""

    def __init__(self, scratch: Path) -> None:
        said, hold, self.program = scratch / "said", scratch / "hold", scratch / "service"
        for fifo in (said, hold):
            os.mkfifo(fifo)
            fifo.chmod(0o666)
        # Both ends of both: whoever opens one does not wait, and nobody ever reads an end of file.
        self._said, self._hold = (os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC) for fifo in (said, hold))
        self.program.write_text(_PROGRAM.format(said=said, hold=hold))
        self.program.chmod(0o755)
        self._rest = b""
        self._heard: list[str] = []

    def close(self) -> None:
        """Hear no more."""
        os.close(self._said)
        os.close(self._hold)

    def command(self, name: str) -> list[str]:
        """The command of the service of that name."""
        return [str(self.program), name]

    def forget(self) -> None:
        """Whatever was said so far is not what is waited for."""
        self._hear(0.0)
        self._heard.clear()

    def wait(self, *names: str) -> None:
        """Until each of these has said its name since `forget`. Raises TimeoutError."""
        missing, end = set(names) - set(self._heard), time.monotonic() + DEADLINE
        while missing:
            if time.monotonic() > end:
                raise TimeoutError(
                    f"cannot measure: {len(missing)} of {len(names)} services did not run: {min(missing)}"
                )
            missing -= self._hear(0.5)

    def kill(self, pid: int) -> None:
        """SIGKILL to a service's process."""
        os.kill(pid, signal.SIGKILL)

    def pids(self) -> dict[str, int]:
        """By name, those that run. As this process sees them, whichever PID namespace they are in."""
        found = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):  # it has just ended
                    words = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace").split("\0")
                    if words[1:2] == [str(self.program)]:
                        found[words[2]] = int(entry)
        return found

    def _hear(self, seconds: float) -> set[str]:
        heard: set[str] = set()
        while select.select([self._said], [], [], seconds)[0]:
            *lines, self._rest = (self._rest + os.read(self._said, _PIPE_BYTES)).split(b"\n")
            heard.update(line.decode() for line in lines)
            seconds = 0.0
        self._heard += heard
        return heard


def until(true: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Wait for something that nobody tells of. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"cannot measure: waited {seconds:g} s in vain until {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def fleet(scratch: Path) -> Iterator[Fleet]:
    """In a directory of its own below `scratch`."""
    directory = scratch / f"fleet-{time.monotonic_ns()}"
    directory.mkdir(0o755)
    found = Fleet(directory)
    try:
        yield found
    finally:
        found.close()

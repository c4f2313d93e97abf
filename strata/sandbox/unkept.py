# SPDX-License-Identifier: MIT
"""A command that has no keeper: the room holds a pidfd of it, and the kernel tells how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from strata.sandbox.children import MOST_TOLD, Ended, word
from strata.sandbox.launcher import ends

UNTOLD = "how it ended is not known: this kernel tells that to its parent alone"


class Unkept:
    """A running command, with `pidfd`, and `said`: where it tells why it never ran, if it did not; takes both over."""

    def __init__(self, pid: int, pidfd: int, said: int = -1) -> None:
        self.pid, self._pidfd, self._said = pid, pidfd, said
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._end)

    def close(self) -> None:
        """Stop waiting for its end; the command goes on."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if self._said >= 0:
            os.close(self._said)
        self._pidfd = self._said = -1

    def abandon(self) -> None:
        """Kill it and stop waiting."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        self.close()

    def _end(self) -> None:
        ended = self._failure() or _of_status(ends.status(self.pid, self._pidfd))
        self.close()
        if not self.ended.done():
            self.ended.set_result(ended)

    def _failure(self) -> Ended | None:
        """It says so before it ends, so its word is there by now."""
        try:
            line = os.read(self._said, MOST_TOLD) if self._said >= 0 else b""
        except OSError:
            line = b""
        return word(line) if line else None


def _of_status(status: int | None) -> Ended:
    if status is None:
        return Ended(None, None, 0.0, 0, message=UNTOLD)
    if os.WIFSIGNALED(status):
        return Ended(None, os.WTERMSIG(status), 0.0, 0)
    return Ended(os.WEXITSTATUS(status), None, 0.0, 0)

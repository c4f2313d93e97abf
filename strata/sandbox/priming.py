# SPDX-License-Identifier: MIT
"""Having the kernel ready for moves between cgroups, for which the first one in a while waits some ten milliseconds.

A move takes a lock whose readers are all forks and exits; its first writer waits for a grace period of RCU, and those
of the next moments do not (percpu_rwsem and rcu_sync, kernel/locking/percpu-rwsem.c). So a move that changes nothing is
made as soon as somebody comes, and the wait passes while he still says what he wants.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

log = logging.getLogger(__name__)

LASTS_SECONDS = 0.005
"""So long after a move the next one is quick anyway; the true time is that of a grace period, and longer."""


class Primer:
    """Moves this process to where it is. One thread, one move at a time."""

    def __init__(self, group: Path) -> None:
        """`group` is this process's own cgroup2 directory; where that may not be written, nothing is done."""
        self._fd = -1
        try:
            self._fd = os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            log.info("moves between cgroups are not prepared: %s", error)
        self._thread = ThreadPoolExecutor(1, "priming")
        self._busy = False
        self._last = 0.0

    def prime(self) -> None:
        """Begin, unless it has just been done. Called in the event loop."""
        if self._fd < 0 or self._busy or time.monotonic() - self._last < LASTS_SECONDS:
            return
        self._busy = True
        moved = asyncio.get_running_loop().run_in_executor(self._thread, os.write, self._fd, b"0")
        moved.add_done_callback(self._moved)

    def close(self) -> None:
        """Wait for the last move."""
        self._thread.shutdown()
        if self._fd >= 0:
            os.close(self._fd)

    def _moved(self, done: asyncio.Future[int]) -> None:
        self._busy = False
        self._last = time.monotonic()
        if not done.cancelled() and (error := done.exception()):
            log.debug("cannot prime moves between cgroups: %s", error)


def own_group(tree: Path) -> Path:
    """This process's directory below a mounted cgroup2 tree (cgroups(7), /proc/PID/cgroup)."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::"):
            return tree / line[3:].lstrip("/")
    return tree

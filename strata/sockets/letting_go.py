# SPDX-License-Identifier: MIT
"""Closing what strangers passed, without waiting for it.

The last close(2) of a descriptor may take as long as whoever made it likes: a TCP socket lingers for the unsent
(SO_LINGER, socket(7)), a FUSE file asks its daemon first. So nothing but a pipe or a little memory is closed in the
event loop; the rest is closed by threads, of which another one is started when all are held up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import socket
import struct
import threading
from collections.abc import Iterable

MOST_THREADS = 8
MOST_WAITING = 1024
"""Descriptors that wait to be closed: beyond that no more are taken."""

_AT_ONCE = ("pipe:[", "anon_inode:")  # no path begins like that (proc(5)): nobody can pass a file off as one
_LITTLE_BLOCKS = 2048
"""A MiB (stat(2)): to free it takes some microseconds."""

_SO_PASSRIGHTS = 83  # asm-generic/socket.h, Linux 6.16; absent where socket options have other numbers
_NO_LINGER = struct.pack("ii", 0, 0)


class Closer:
    """The threads, started when they are needed; they hold up no end of the process."""

    def __init__(self, most: int = MOST_THREADS) -> None:
        self._waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)
        self._most, self._threads = most, 0

    @property
    def crowded(self) -> bool:
        """Whether too many wait to be closed."""
        return self._waiting.qsize() > MOST_WAITING

    def close(self, descriptors: Iterable[int]) -> None:
        """Close each of them, now or as soon as that waits for nobody."""
        for descriptor in descriptors:
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith(_AT_ONCE) or _little_memory(descriptor):
                os.close(descriptor)
            else:
                self._hand_over(descriptor)

    def _hand_over(self, descriptor: int) -> None:
        if not self._free.acquire(blocking=False) and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._work, name="closing", daemon=True).start()
        self._waiting.put(descriptor)

    def _work(self) -> None:
        while True:
            descriptor = self._waiting.get()
            _close(descriptor)
            self._free.release()


def _little_memory(descriptor: int) -> bool:
    """Of a memfd, which comes with every exec over HTTP; nothing but memory has seals (fcntl(2))."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        return os.fstat(descriptor).st_blocks <= _LITTLE_BLOCKS
    except OSError:
        return False


def _close(descriptor: int) -> None:
    """Whoever has a copy may let it linger again in this very moment: then only this thread waits."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:  # no socket
        with contextlib.suppress(OSError):  # what a close reports is about what was written there, and not ours
            os.close(descriptor)
        return
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    with contextlib.suppress(OSError):
        found.close()


CLOSER = Closer()


def refuse(sock: socket.socket) -> bool:
    """Have the kernel refuse descriptors on a listening socket and on all that come from it: the sender is told EPERM.
    Whether it does; else, what a plain recv(2) drops is closed in that very call, however long that takes."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError:
        return False
    return True

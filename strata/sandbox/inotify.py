# SPDX-License-Identifier: MIT
"""inotify(7) on an event loop: how the kernel tells that a cgroup emptied, without asking it again and again."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import struct
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_EVENT = struct.Struct("iIII")
MODIFY = 0x2
_IGNORED = 0x8000
_READ_BYTES = 65_536
_MOST_READS = 4
"""At once: what the kernel queues (16384 events by default). Who makes events faster than they can be heard must not
keep the loop."""


class Inotify:
    """One instance; a callback for each watched file, called on the loop when it changes."""

    def __init__(self) -> None:
        self._fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "watch files")
        # The kernel has one watch for a file (inotify_add_watch(2)), however many of us look at it.
        self._callbacks: dict[int, dict[int, Callable[[], None]]] = {}
        self._watches: dict[int, int] = {}
        self._numbers = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self.read)

    def close(self) -> None:
        """Watch nothing any more."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def watch(self, path: str, changed: Callable[[], None]) -> int:
        """Call `changed` whenever the file is modified; the number to `forget` it by. Raises OSError."""
        watch = _checked(_libc.inotify_add_watch(self._fd, os.fsencode(path), MODIFY), f"watch {path}")
        number = next(self._numbers)
        self._watches[number] = watch
        self._callbacks.setdefault(watch, {})[number] = changed
        return number

    def forget(self, number: int) -> None:
        """No more calls for this one. A file that is gone took its watch with it."""
        watch = self._watches.pop(number)
        others = self._callbacks.get(watch)
        if others is not None:
            del others[number]
            if not others:
                del self._callbacks[watch]
                _libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> None:
        """Call back now for all that has changed, in the order it did; the loop does so by itself a little later."""
        for _ in range(_MOST_READS):
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                return
            position = 0
            while position < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, position)
                position += _EVENT.size + length
                if mask & _IGNORED:
                    self._callbacks.pop(watch, None)
                else:
                    for callback in tuple(self._callbacks.get(watch, {}).values()):
                        callback()
            if len(data) < _READ_BYTES // 2:
                return


def _checked(answer: int, what: str) -> int:
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"cannot {what}: {os.strerror(error)}")
    return answer

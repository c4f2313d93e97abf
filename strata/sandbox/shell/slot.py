# SPDX-License-Identifier: MIT
"""The two pipes that a shell and its commands write to, and the order in which they did.

Two pipes have no order. It comes from inotify, which queues one event for every write to either of them, merging only
those that follow one another on the same pipe. For the first EXACT writes of an exec the pipes are in packet mode
(O_DIRECT, pipe(2)) and hold one packet: a second write waits until the first was read, so that nothing merges and
each event stands for one packet. After that they are ordinary large pipes, read in the order in which data arrives, and
nobody asks for their events any more: a flood of small writes would make more of them than a room can hear.

The FIFOs have names, so that `>/dev/stderr` works in a command, and so that the next room finds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import functools
import os
import sys
import termios
from collections.abc import Callable

from strata.sandbox.inotify import Inotify
from strata.sandbox.shell.exchange import pipe
from strata.sandbox.shell.gathered import ERR, OUT, Gathered

EXACT = 32
"""Writes of an exec whose order is exact, as long as none is larger than a page."""

PAGE = os.sysconf("SC_PAGESIZE")
_WIDE_BYTES = 262_144
_READ_BYTES = 262_144
_EVENT_SECONDS = 0.005
_MOST_AT_END = 1_048_576  # left in the pipes when a command ended; more comes from others who still write


class Slot:
    """A pair of pipes. What comes through while no exec gathers it is read and forgotten."""

    def __init__(self, directory: int, number: int, inotify: Inotify) -> None:
        """Makes the FIFOs in a directory; those of a former room are taken as they are. Raises OSError."""
        self.number, self.names = number, (f"out-{number}", f"err-{number}")
        self._directory, self._inotify = os.dup(directory), inotify
        self._loop = asyncio.get_running_loop()
        self._gathered: Gathered | None = None
        self._writers: tuple[int, ...] = ()
        self._writes, self._wide = 0, True
        self._held: list[asyncio.TimerHandle | None] = [None, None]  # pipes with data whose event is awaited
        self._gone: Callable[[Slot], None] | None = None
        self._fds, self._watches = [-1, -1], [-1, -1]
        try:
            for stream in (OUT, ERR):
                self._open(stream)
        except BaseException:
            self.close(remove=False)
            raise

    def _open(self, stream: int) -> None:
        name, new = self.names[stream], True
        try:
            os.mkfifo(name, dir_fd=self._directory)
        except FileExistsError:
            new = False
        fd = pipe(self._directory, name, os.O_RDONLY)
        if new:
            os.fchmod(fd, 0o666)  # its owner is nobody inside, and all there are one
        self._fds[stream] = fd
        self._loop.add_reader(fd, self._readable, stream)

    def writers(self) -> tuple[int, int]:
        """The write ends, for a shell to be; they stay ours as well. Both ways, so that no command gets a SIGPIPE while
        nobody reads because the room is being restarted."""
        out, err = (pipe(self._directory, name, os.O_RDWR) for name in self.names)
        for fd in (out, err):
            os.set_blocking(fd, True)
        self.keep_writers((out, err))
        return out, err

    def keep_writers(self, writers: tuple[int, int]) -> bool:
        """The shell's own write ends, by which their mode can be changed. Takes them over, if they are these pipes'."""
        if not all(map(_same_pipe, writers, self._fds)):
            return False
        self._writers = writers
        return True

    def begin(self, gathered: Gathered) -> None:
        """From now on what is written is an exec's."""
        self._gathered, self._writes = gathered, 0
        if self._wide and self._writers:
            self._set_mode(wide=False)

    def finish(self) -> None:
        """What was written so far still is the exec's; what comes now is nobody's."""
        self._inotify.read()
        for stream in (OUT, ERR):
            self._let_read(stream)
            left = _MOST_AT_END
            while left > 0 and (count := self._take(stream)):
                left -= count
        self._gathered = None

    def retire(self, gone: Callable[[Slot], None]) -> None:
        """The shell writes elsewhere; read on until nobody writes here any more, then tell `gone`."""
        self._gathered, self._gone = None, gone
        if not self._wide:
            self._set_mode(wide=True)
        self._close_writers()
        self._end_if_over()

    def close(self, remove: bool) -> None:
        """Let go, and `remove` the FIFOs: then nobody can write there, or the session ends."""
        self._gone = None
        self._close_writers()
        for stream in (OUT, ERR):
            self._end(stream)
        if remove and self._directory >= 0:
            for name in self.names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=self._directory)
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    # --- as it comes

    def _written(self, stream: int) -> None:
        """inotify: somebody wrote."""
        self._let_read(stream)
        self._take(stream)
        self._writes += 1
        if self._writes > EXACT and not self._wide:
            self._set_mode(wide=True)

    def _readable(self, stream: int) -> None:
        self._inotify.read()
        if self._wide or self._watches[stream] < 0:
            self._take(stream)
        elif (waiting := self._waiting(stream)) >= PAGE:  # a longer write: its event comes when all of it was read
            self._set_mode(wide=True)
            self._take(stream)
        elif waiting:  # its event is on its way, and only that says what was before it
            self._loop.remove_reader(self._fds[stream])
            self._held[stream] = self._loop.call_later(_EVENT_SECONDS, self._give_up, stream)

    def _let_read(self, stream: int) -> None:
        held, self._held[stream] = self._held[stream], None
        if held:
            held.cancel()
            self._loop.add_reader(self._fds[stream], self._readable, stream)

    def _give_up(self, stream: int) -> None:
        """The event was lost (IN_Q_OVERFLOW, inotify(7)), or its writer does not get to run."""
        self._let_read(stream)
        self._set_mode(wide=True)

    def _waiting(self, stream: int) -> int:
        """Bytes that can be read."""
        fd = self._fds[stream]
        return 0 if fd < 0 else int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)

    def _take(self, stream: int) -> int:
        """Read once; how many bytes."""
        fd = self._fds[stream]
        if fd < 0:
            return 0
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._end(stream)
            self._end_if_over()
        elif self._gathered:
            self._gathered.add(stream, data)
        return len(data)

    def _set_mode(self, wide: bool) -> None:
        self._wide = wide
        for stream in (OUT, ERR):
            if wide:
                self._forget(stream)
            else:
                self._watch(stream)
        for writer in self._writers:
            flags = fcntl.fcntl(writer, fcntl.F_GETFL)
            fcntl.fcntl(writer, fcntl.F_SETFL, flags & ~os.O_DIRECT if wide else flags | os.O_DIRECT)
        for fd in self._fds:
            try:
                if fd >= 0:
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _WIDE_BYTES if wide else PAGE)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EBUSY):  # over pipe-user-pages-soft; somebody's data is in it
                    raise

    def _end(self, stream: int) -> None:
        self._let_read(stream)
        fd, self._fds[stream] = self._fds[stream], -1
        if fd >= 0:
            self._loop.remove_reader(fd)
            self._forget(stream)
            os.close(fd)

    def _watch(self, stream: int) -> None:
        fd = self._fds[stream]
        if fd >= 0 and self._watches[stream] < 0:
            with contextlib.suppress(OSError):  # too many watches (inotify(7)): then what arrives first is first
                written = functools.partial(self._written, stream)
                self._watches[stream] = self._inotify.watch(f"/proc/self/fd/{fd}", written)

    def _forget(self, stream: int) -> None:
        number, self._watches[stream] = self._watches[stream], -1
        if number >= 0:
            self._inotify.forget(number)

    def _end_if_over(self) -> None:
        if self._gone and self._fds == [-1, -1]:
            gone = self._gone
            self.close(remove=True)
            gone(self)

    def _close_writers(self) -> None:
        writers, self._writers = self._writers, ()
        for fd in writers:
            os.close(fd)


def _same_pipe(writer: int, reader: int) -> bool:
    return reader >= 0 and os.path.sameopenfile(writer, reader)

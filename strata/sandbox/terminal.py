# SPDX-License-Identifier: MIT
"""A terminal of a session: what runs on it, the ring of what it wrote, and who looks.

The master and the ring outlive this process in the descriptor store; the shell never notices a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import signal
import socket
import struct
import termios
from typing import Any, NamedTuple

from strata.sandbox import signalling
from strata.sandbox.cgroup import Group
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.children import Child, Ended
from strata.sandbox.paced import PacedReader
from strata.sandbox.replay import Marks
from strata.sandbox.ring import Ring
from strata.sandbox.viewer import Size, Viewer

log = logging.getLogger(__name__)

KEPT_BYTES = 262_144
"""Scroll-back, of raw bytes."""

AHEAD_BYTES = 65_536
"""While all who look are further behind than that, the shell waits, as it does for any terminal."""

HANGUP_SECONDS = 0.5
"""From SIGHUP to SIGKILL."""

LINGER_SECONDS = 2.0
"""What a viewer has not read so long after the end is lost to him; CUT_SECONDS where the end was ordered."""

CUT_SECONDS = 0.05

MOST_TYPED = 32
"""Inputs that wait; what one typed who has left since is forgotten beyond."""

EMPTY_SECONDS = 5.0

SETTLE_SECONDS = 0.1
"""readline reads the size of its terminal and sets the same again before each prompt (set_winsize, its rltty.c): it may
undo a change made in between. So long after one, that is looked for."""

_READ_BYTES = 65_536
_WINDOW = struct.Struct("HHHH")


class Parts(NamedTuple):
    """What a terminal is made of. It takes over the descriptors."""

    master: int
    ring: Ring
    child: Child
    group: Group


class Terminal:
    """One terminal. `over` is done when nothing of it is left; `ended` says how it came to that."""

    def __init__(self, name: str, parts: Parts, emptiness: Emptiness) -> None:
        self.name, self.ring, self.child, self.group = name, parts.ring, parts.child, parts.group
        self.viewers: dict[int, Viewer] = {}
        self.ended: dict[str, Any] | None = None
        self.fitted: Size | None = None  # as it was made last for those who look
        self._why = ""
        self._linger = LINGER_SECONDS
        self._hung_up = False
        self._master = parts.master
        self._emptiness = emptiness
        self._numbers = itertools.count(1)
        self._marks = Marks(self.ring)
        self._typed: list[tuple[Viewer, bytes]] = []
        self._loop = asyncio.get_running_loop()
        self._reader = PacedReader(self._master, self._read)
        os.set_blocking(self._master, False)
        self.read_on()
        self.over = self._loop.create_task(self._until_over())

    # --- its viewers

    def join(self, sock: socket.socket, size: Size | None, offset: int | None) -> tuple[Viewer, int]:
        """One more looks on, from `offset` or from the beginning of the scroll-back; and how many bytes of what he
        asked for are lost. Takes the socket over."""
        oldest, lost = self._marks.oldest, 0
        begin = oldest if offset is None else min(offset, self.ring.end)
        if begin < self.ring.start:
            lost, begin = oldest - begin, oldest
        viewer = Viewer(self, next(self._numbers), sock, begin, size)
        self.viewers[viewer.number] = viewer
        viewer.ended.add_done_callback(lambda _: self._left(viewer))
        self._fit()
        viewer.show()
        return viewer, lost

    def resize(self, size: Size, number: int | None = None) -> None:
        """The window of one viewer has this size; or, without a number, those of all."""
        for viewer in self.viewers.values():
            if number in (None, viewer.number):
                viewer.size = size
        if self.viewers:
            self._fit()
        else:
            self._set_size(size)

    @property
    def size(self) -> Size:
        """As its programs see it."""
        return Size(*_WINDOW.unpack(fcntl.ioctl(self._master, termios.TIOCGWINSZ, bytes(_WINDOW.size)))[:2])

    def typed(self, viewer: Viewer, data: bytes) -> None:
        """Input waits, and its viewer with it, while nobody in there reads."""
        self._typed.append((viewer, data))
        if len(self._typed) == 1 and not self._write():
            self._loop.add_writer(self._master, self._has_room)
        if self._typed:
            viewer.listen(False)

    def read_on(self) -> None:
        """Read what it writes, unless all who look are too far behind."""
        self._reader.listen(
            self._master >= 0
            and not self._hung_up
            and (not self.viewers or min(viewer.behind for viewer in self.viewers.values()) <= AHEAD_BYTES)
        )

    # --- its end

    async def hang_up(self) -> None:
        """As if the line was cut: SIGHUP, and soon SIGKILL to whoever ignores it. Returns when nothing is left."""
        self._why = self._why or "hangup"
        signalling.send(self.group, signal.SIGHUP)
        await asyncio.wait({self.child.ended}, timeout=HANGUP_SECONDS)
        await self.cut("hangup")

    async def cut(self, why: str) -> None:
        """SIGKILL to all of it; its viewers are told `why`. Returns when nothing is left."""
        self._why = self._why or why
        self._linger = CUT_SECONDS
        self.group.kill()
        await asyncio.shield(self.over)

    async def leave(self) -> None:
        """Let go of it: it goes on without us."""
        self.over.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.over
        for viewer in tuple(self.viewers.values()):
            viewer.leave({"ended": "restart"})
        self.child.close()
        self._close()

    async def _until_over(self) -> None:
        ended = await asyncio.shield(self.child.ended)
        self._drain()
        self.group.kill()
        if not await self._emptiness.wait(self.group, EMPTY_SECONDS):
            log.error("cannot end terminal %s: processes %s outlive SIGKILL", self.name, self.group.pids())
        self.group.remove()
        self._drain()
        self.ended = how(ended, self._why)
        viewers = tuple(self.viewers.values())
        for viewer in viewers:
            viewer.finish(self.ended, self._linger)
        if viewers:
            await asyncio.wait([viewer.ended for viewer in viewers])
        self._close()

    def _close(self) -> None:
        self._reader.listen(False)
        self._loop.remove_writer(self._master)
        os.close(self._master)
        self._master = -1
        self.ring.close()

    # ---

    def _read(self) -> int:
        """Move what it wrote into the ring and to the viewers; how many bytes."""
        try:
            data = os.read(self._master, _READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last one closed the other side (tty_ioctl(4)); the child's end is told apart
            self._hung_up = True
            self.read_on()
            return 0
        self.ring.append(data)
        self._marks.update()
        for viewer in tuple(self.viewers.values()):
            viewer.show()
        self.read_on()
        return len(data)

    def _drain(self) -> None:
        """What is in the line when the child has ended: never more than a terminal holds, so this ends."""
        for _ in range(64):
            if not self._read():
                return

    def _write(self) -> bool:
        """Type on; whether all is typed."""
        while self._typed:
            viewer, data = self._typed[0]
            try:
                done = os.write(self._master, data)
            except BlockingIOError:
                return False
            except OSError:
                done = len(data)  # nobody will ever read it
            if done < len(data):
                self._typed[0] = (viewer, data[done:])
                continue
            del self._typed[0]
            viewer.listen(True)
        return True

    def _has_room(self) -> None:
        if self._write():
            self._loop.remove_writer(self._master)

    def _left(self, viewer: Viewer) -> None:
        del self.viewers[viewer.number]
        if self._master >= 0:
            if len(self._typed) > MOST_TYPED:
                self._typed = [item for item in self._typed if item[0] is not viewer]
            self._fit()
            self.read_on()

    def _fit(self) -> None:
        """All must see all of it: as high as the lowest window, as wide as the narrowest. The last size stays."""
        sizes = [viewer.size for viewer in self.viewers.values() if viewer.size]
        if sizes:
            self._set_size(Size(min(size.rows for size in sizes), min(size.cols for size in sizes)))

    def _set_size(self, size: Size) -> None:
        self.fitted, before = size, self.size
        if size != before:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, _WINDOW.pack(*size, 0, 0))
            self._loop.call_later(SETTLE_SECONDS, self._settle, before)

    def _settle(self, before: Size) -> None:
        if self._master >= 0 and self.fitted not in (None, before) and self.size == before:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, _WINDOW.pack(*self.fitted, 0, 0))


def how(ended: Ended, why: str) -> dict[str, Any]:
    """What its viewers are told."""
    if why or ended.message:
        return {"ended": why or "closed"} | ({"error": ended.message} if ended.stage else {})
    if ended.signal is not None:
        return {"ended": "signal", "signal": ended.signal}
    return {"ended": "exit", "exit_code": ended.exit_code}

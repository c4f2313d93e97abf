# SPDX-License-Identifier: MIT
"""Descriptors that outlive this process: systemd keeps them and passes them to the next one (FDSTORE, sd_notify(3)).

Names say whose they are: `KIND/OWNER/SESSION/ID/ROLE`. No part can hold a slash, FDNAME= allows all the characters and
255 of them, and no name is given twice. systemd gives back names and descriptors but promises no order.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Mapping

from strata.errors import ResourceExhausted
from strata.sandbox.ids import Key
from strata.systemd import notify

log = logging.getLogger(__name__)

MOST = 16_384
"""Descriptors in all; FileDescriptorStoreMax= of the sandbox room's manifest must allow as many."""

MOST_BYTES = 512 * 1_048_576
"""Of memory in what is kept: rings of output are this process's memory, whoever filled them."""

_RETRY_SECONDS = 0.1


def name(kind: str, key: Key, number: str, role: str) -> str:
    """What a descriptor is called: `run/alice/task-1/4f1d…/out`."""
    return f"{kind}/{key.owner}/{key.session}/{number}/{role}"


class DescriptorStore:
    """What systemd keeps for this room. `taken` is what it kept over the restart (sockets.listen.stored).

    Nothing here waits: what systemd has no room for now is sent as soon as it has, in order. Where there is no service
    manager nothing is kept, and nothing outlives the room.
    """

    def __init__(self, taken: Mapping[str, int] | None = None, most: int = MOST) -> None:
        self.taken = dict(taken or {})
        self._names = {full: os.fstat(fd).st_size for full, fd in self.taken.items()}  # name → bytes it may take
        self._most = most
        self._waiting: collections.deque[tuple[tuple[str, ...], int | None]] = collections.deque()
        self._socket = notify.connected()
        if self._socket is None:
            log.warning("no service manager keeps descriptors: background runs and terminals end with this process")

    def __len__(self) -> int:
        """Descriptors that are kept."""
        return len(self._names)

    def take(self, kind: str, key: Key) -> dict[str, dict[str, int]]:
        """What was kept for a session over the restart: number → role → descriptor, now the caller's."""
        found: dict[str, dict[str, int]] = {}
        for full in [full for full in self.taken if full.startswith(name(kind, key, "", "")[:-1])]:
            number, role = full.split("/")[3:]
            found.setdefault(number, {})[role] = self.taken.pop(full)
        return found

    def drop_untaken(self) -> None:
        """Once every session has taken its own: what is left belongs to none."""
        left, self.taken = self.taken, {}
        for fd in left.values():
            os.close(fd)
        self.remove(*left)

    def check_room(self, more: int, size: int = 0) -> None:
        """Raises ResourceExhausted when `more` descriptors, or `size` bytes in them, would be too many."""
        held = sum(self._names.values())
        if held + size > MOST_BYTES:
            raise ResourceExhausted(
                f"cannot start more: output of runs and terminals may take {held} of {MOST_BYTES} bytes; "
                "end some, or close sessions with runs that have ended"
            )
        if len(self._names) + more > self._most:
            raise ResourceExhausted(
                f"cannot start more: {len(self._names)} of {self._most} descriptors are kept for runs and terminals; "
                "end or close some"
            )

    def push(self, descriptors: Mapping[str, int]) -> None:
        """Have these kept, all or none; they stay the caller's as well. Raises ResourceExhausted."""
        self.check_room(len(descriptors), sum(os.fstat(fd).st_size for fd in descriptors.values()))
        for full, fd in descriptors.items():
            assert full not in self._names, full
            self._names[full] = os.fstat(fd).st_size
            # Without FDPOLL=0 systemd drops a pipe or terminal as soon as its other end hangs up, with what is in it.
            self._tell(("FDSTORE=1", f"FDNAME={full}", "FDPOLL=0"), fd)

    def weigh(self, full: str, size: int) -> None:
        """What is kept under that name takes `size` bytes and will take no more."""
        if full in self._names:
            self._names[full] = size

    def remove(self, *names: str) -> None:
        """Have these kept no more; those that are not are passed over."""
        for full in names:
            if full in self._names:
                del self._names[full]
                self._tell(("FDSTOREREMOVE=1", f"FDNAME={full}"), None)

    def close(self) -> None:
        """Send no more. What is kept stays so."""
        if self._socket is not None:
            with contextlib.suppress(RuntimeError):  # no loop runs any more: then none looks at the socket
                asyncio.get_running_loop().remove_writer(self._socket)
            self._socket.close()
            self._socket = None
        for _, fd in self._waiting:
            if fd is not None:
                os.close(fd)
        self._waiting.clear()

    def _tell(self, assignments: tuple[str, ...], fd: int | None) -> None:
        if self._socket is None:
            return
        if not self._waiting and self._sent(self._socket, assignments, fd):
            return
        if not self._waiting:
            asyncio.get_running_loop().add_writer(self._socket, self._send_waiting)
        self._waiting.append((assignments, None if fd is None else os.dup(fd)))

    def _send_waiting(self) -> None:
        if self._socket is None:
            return
        while self._waiting:
            assignments, fd = self._waiting[0]
            if not self._sent(self._socket, assignments, fd):
                return
            self._waiting.popleft()
            if fd is not None:
                os.close(fd)
        asyncio.get_running_loop().remove_writer(self._socket)

    def _sent(self, sock: socket.socket, assignments: tuple[str, ...], fd: int | None) -> bool:
        """Whether systemd took it, or never will (then the log has it)."""
        try:
            notify.send(sock, assignments, () if fd is None else (fd,), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ETOOMANYREFS:  # of unix(7): too many descriptors of ours are on their way
                self._rest(sock)
                return False
            log.error("systemd does not keep %s over a restart: %s", assignments[1], error.strerror)
        return True

    def _rest(self, sock: socket.socket) -> None:
        """The socket is writable, so waiting for that would spin."""
        loop = asyncio.get_running_loop()
        loop.remove_writer(sock)
        loop.call_later(_RETRY_SECONDS, self._resume)

    def _resume(self) -> None:
        if self._socket is not None and self._waiting:
            asyncio.get_running_loop().add_writer(self._socket, self._send_waiting)

# SPDX-License-Identifier: MIT
"""Open files by handle: `h1`, `h2`, … A handle belongs to one capability and outlives the connection (vector 073)."""

from __future__ import annotations

import collections
import functools
import logging
import os
import time
from collections.abc import Callable, Iterable

from strata.errors import NotFound, PermissionDenied, ResourceExhausted
from strata.fs.beneath import Opened
from strata.fs.prefix import Place
from strata.fs.threads import Threads
from strata.policy.capability import Claims

PER_CAPABILITY = 256
PER_FAMILY = 1024
"""Of a capability and all that was made from it: attenuating must not be a way to have everybody's."""
IN_ALL = 4096
IDLE = 600.0
"""Seconds after which a handle that nobody uses is closed."""

log = logging.getLogger(__name__)


class Handle:
    """One open file. The descriptor is valid as long as the table has the handle: use it at once, or duplicate it."""

    __slots__ = ("access", "claims", "fd", "id", "opened", "place", "used")

    def __init__(self, number: int, opened: Opened, place: Place, claims: Claims, access: int, now: float) -> None:
        self.id, self.fd, self.opened = f"h{number}", opened.fd, opened
        self.place, self.claims, self.access, self.used = place, claims, access, now


class HandleTable:
    """Owns the descriptors of all handles."""

    def __init__(self, threads: Threads, clock: Callable[[], float] = time.monotonic) -> None:
        self._handles: dict[str, Handle] = {}
        self._open: collections.Counter[str] = collections.Counter()
        self._threads, self._clock, self._last = threads, clock, 0

    def __len__(self) -> int:
        return len(self._handles)

    def check_room(self, claims: Claims) -> None:
        """Raise ResourceExhausted when the capability, its family, or everybody together has too many handles."""
        whose = (
            (_own(claims), PER_CAPABILITY, "the capability has {} handles open"),
            (_family(claims), PER_FAMILY, "the capability and its relatives have {} handles open"),
            (_ALL, IN_ALL, "{} handles are open"),
        )
        for key, most, says in whose:
            if self._open[key] >= most:
                raise ResourceExhausted(f"cannot open: {says.format(most)}; close some")

    def add(self, opened: Opened, place: Place, claims: Claims, access: int) -> Handle:
        """Take over a descriptor. Raises ResourceExhausted, having closed it."""
        try:
            self.check_room(claims)
        except ResourceExhausted:
            self.refuse(opened, claims)
            raise
        self._last += 1
        handle = Handle(self._last, opened, place, claims, access, self._clock())
        self._handles[handle.id] = handle
        self._open.update(_counted(claims))
        return handle

    def refuse(self, opened: Opened, claims: Claims) -> None:
        """Close a descriptor that no handle is made of."""
        self._shut(opened, claims, lambda: None)

    def bound(self, handle_id: str, claims: Claims) -> Handle:
        """The handle, if it is this capability's. Raises NotFound or PermissionDenied."""
        handle = self._handles.get(handle_id)
        if handle is None:
            raise NotFound("invalid handle")
        owner = handle.claims
        if (owner.jti, owner.service, owner.sub) != (claims.jti, claims.service, claims.sub):
            raise PermissionDenied("handle not bound to this capability", cap_id=claims.jti)
        handle.used = self._clock()
        return handle

    def close(self, handle: Handle) -> None:
        """Forget the handle and close its descriptor; a second time does nothing."""
        if self._handles.pop(handle.id, None) is not None:
            self._shut(handle.opened, handle.claims, lambda: self._release(handle.claims))

    def close_where(self, ended: Callable[[Claims], bool]) -> None:
        """Close every handle whose capability has ended."""
        self._close_all([handle for handle in self._handles.values() if ended(handle.claims)])

    def close_overdue(self, now_ns: int) -> None:
        """Close what is idle or expired; `now_ns` is the wall clock, for expiry."""
        idle_since = self._clock() - IDLE
        self._close_all([h for h in self._handles.values() if h.used <= idle_since or h.claims.exp < now_ns])

    def close_all(self) -> None:
        """Close everything."""
        self._close_all(list(self._handles.values()))

    def _close_all(self, handles: Iterable[Handle]) -> None:
        for handle in handles:
            self.close(handle)

    def _shut(self, opened: Opened, claims: Claims, then: Callable[[], None]) -> None:
        """close(2) may wait for a server, or for what a user made of his file system; it then counts until it is done.

        A descriptor that cannot be closed in a thread any more, because the process ends, is the kernel's to close.
        """
        if opened.local:
            _close(opened.fd)
            then()
        elif self._threads.open:
            task = self._threads.start(claims.family, functools.partial(_close, opened.fd))
            task.add_done_callback(lambda _: then())

    def _release(self, claims: Claims) -> None:
        for key in _counted(claims):
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


_ALL = ""


def _own(claims: Claims) -> str:
    return f"own {claims.jti}"


def _family(claims: Claims) -> str:
    return f"family {claims.family}"


def _counted(claims: Claims) -> tuple[str, str, str]:
    return _own(claims), _family(claims), _ALL


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError as error:  # the descriptor is gone all the same (close(2), NOTES)
        log.warning("a file was closed with an error, what was written to it may be lost: %s", error.strerror)

# SPDX-License-Identifier: MIT
"""Open files by handle: `h1`, `h2`, … A handle belongs to one capability and outlives the connection (vector 073)."""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Callable, Iterable

from strata.errors import NotFound, PermissionDenied, ResourceExhausted
from strata.fs.beneath import Opened
from strata.fs.prefix import Place
from strata.policy.capability import Claims

PER_CAPABILITY = 256
IN_ALL = 4096
IDLE = 600.0
"""Seconds after which a handle that nobody uses is closed."""


class Handle:
    """One open file. `fd` is valid as long as the table has the handle: use it at once, or duplicate it."""

    __slots__ = ("access", "claims", "fd", "id", "in_memory", "is_dir", "place", "used")

    def __init__(self, number: int, opened: Opened, place: Place, claims: Claims, access: int, now: float) -> None:
        self.id, self.fd, self.is_dir, self.in_memory = f"h{number}", opened.fd, opened.is_dir, opened.in_memory
        self.place, self.claims, self.access, self.used = place, claims, access, now


class HandleTable:
    """Owns the descriptors of all handles."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._handles: dict[str, Handle] = {}
        self._per_capability: collections.Counter[str] = collections.Counter()
        self._clock, self._last = clock, 0

    def __len__(self) -> int:
        return len(self._handles)

    def check_room(self, claims: Claims) -> None:
        """Raise ResourceExhausted when the capability, or everybody together, has too many handles."""
        if self._per_capability[claims.jti] >= PER_CAPABILITY:
            raise ResourceExhausted(f"cannot open: the capability has {PER_CAPABILITY} handles open; close some")
        if len(self._handles) >= IN_ALL:
            raise ResourceExhausted(f"cannot open: {IN_ALL} handles are open; close some")

    def add(self, opened: Opened, place: Place, claims: Claims, access: int) -> Handle:
        """Take over a descriptor. Raises ResourceExhausted, having closed it."""
        try:
            self.check_room(claims)
        except ResourceExhausted:
            os.close(opened.fd)
            raise
        self._last += 1
        handle = Handle(self._last, opened, place, claims, access, self._clock())
        self._handles[handle.id] = handle
        self._per_capability[claims.jti] += 1
        return handle

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
        """Close the descriptor and forget the handle; a second time does nothing."""
        if self._handles.pop(handle.id, None) is None:
            return
        self._per_capability[handle.claims.jti] -= 1
        if not self._per_capability[handle.claims.jti]:
            del self._per_capability[handle.claims.jti]
        os.close(handle.fd)

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

# SPDX-License-Identifier: MIT
"""What the handlers of fs share: trust, handles, threads, and the way from a path in a request to a place on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from strata.errors import PermissionDenied, StrataError
from strata.fs.audit import ReadLog
from strata.fs.handles import HandleTable
from strata.fs.prefix import Place
from strata.fs.refusals import refusal
from strata.fs.threads import Threads
from strata.policy.authorize import authorize, opening
from strata.policy.capability import Claims
from strata.policy.ratelimit import Buckets
from strata.policy.trust import Trust
from strata.sockets.method import Call

T = TypeVar("T")
_LONGEST_SHOWN = 4096


class Room(NamedTuple):
    """The fs room. `strict_paths` refuses absolute paths (spec 1.15)."""

    trust: Trust
    buckets: Buckets
    handles: HandleTable
    threads: Threads
    reads: ReadLog
    strict_paths: bool = False

    def allow(self, call: Call) -> Claims:
        """Policy of a method that names no path. Raises as authorize."""
        claims: Claims = call.claims
        authorize(claims, call.method, buckets=self.buckets)
        return claims

    def place(self, call: Call, path: str) -> Place:
        """Policy of a method on a path; where that path is. Raises as authorize, for the audit with the path."""
        claims: Claims = call.claims
        try:
            relative = authorize(claims, call.method, path, buckets=self.buckets, strict=self.strict_paths)
            return Place(*opening(claims.constraints), relative)
        except PermissionDenied as error:
            error.details |= {"cap_id": claims.jti, "path": path[:_LONGEST_SHOWN]}
            raise

    def drop_revoked(self, _new: frozenset[str]) -> None:
        """Close the handles of every capability that is revoked, itself or by an ancestor."""
        self.handles.close_where(self.trust.revoked)

    async def in_thread(self, call: Call, work: Callable[[], T], failed: Callable[[OSError], StrataError]) -> T:
        """Run what may wait for a disk. Raises what `failed` makes of an OSError."""
        try:
            return await self.threads.run(call.claims.family, work)
        except OSError as error:
            raise failed(error) from error


def failing(verb: str, place: Place, noun: str = "file") -> Callable[[OSError], StrataError]:
    """What an OSError means to one who wanted to `verb` the place."""
    return lambda error: refusal(error, verb, place, noun)


async def sweep(handles: HandleTable, period: float = 5.0) -> None:
    """Close idle and expired handles, for ever."""
    while True:
        await asyncio.sleep(period)
        handles.close_overdue(time.time_ns())

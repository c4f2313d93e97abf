# SPDX-License-Identifier: MIT
"""What fs did and refused, in the journal. Records are written once the reply is out.

Reads are gathered: a record costs journald more than a read costs us, and past 10000 in 30 s it drops what comes
(RateLimitBurst=, journald.conf(5)), which would be no audit at all. A handle's first read is recorded at once; those
within the next second go into one record that counts them and names every req_id.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from strata.fs.handles import Handle
from strata.fs.prefix import Place
from strata.sockets.method import Call
from strata.systemd import journal

PERIOD = 1.0
"""Seconds of reads in one record."""
MOST_READS = 256
_LONGEST_ID = 64


def done(call: Call, place: Place) -> None:
    """Record what was done."""
    journal.later(functools.partial(_send, call, place.full))


class ReadLog:
    """The reads of each handle since its last record."""

    def __init__(self) -> None:
        self._handles: dict[str, _Reads] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, call: Call, handle: Handle, count: int) -> None:
        """One read of `count` bytes."""
        reads = self._handles.get(handle.id)
        if reads is None:
            self._handles[handle.id] = _Reads(handle.place)
            done(call, handle.place)
            self._timer = self._timer or asyncio.get_running_loop().call_later(PERIOD, self._tick)
            return
        reads.add(call, count)
        if len(reads.req_ids) >= MOST_READS:
            reads.write()

    def close(self) -> None:
        """Record what is gathered; no more may be noted."""
        if self._timer:
            self._timer.cancel()
        self._write()

    def _tick(self) -> None:
        self._write()
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._tick) if self._handles else None

    def _write(self) -> None:
        self._handles = {name: reads for name, reads in self._handles.items() if reads.write()}


class _Reads:
    __slots__ = ("bytes", "call", "place", "req_ids")

    def __init__(self, place: Place) -> None:
        self.place, self.bytes = place, 0
        self.call: Call | None = None
        self.req_ids: list[str] = []

    def add(self, call: Call, count: int) -> None:
        self.call = call
        self.bytes += count
        self.req_ids.append(call.req_id[:_LONGEST_ID])

    def write(self) -> bool:
        """Write the record, if there is anything to record; whether there was."""
        if self.call is None or not self.req_ids:
            return False
        more = {"reads": len(self.req_ids), "bytes": self.bytes, "req_ids": " ".join(self.req_ids)}
        journal.later(functools.partial(_send, self.call, self.place.full, **more))  # in its turn, behind earlier ones
        self.req_ids, self.bytes = [], 0
        return True


def _send(call: Call, resource: str, **more: Any) -> None:
    who = _who(call, call.claims.jti)
    journal.send(call.method, f"{call.method} {resource}", resource=resource, **who, **more)


def _who(call: Call, cap_id: str) -> dict[str, Any]:
    subject = call.claims.owner or call.claims.sub if call.claims else ""
    return {
        "service": "fs",
        "action": call.method,
        "req_id": call.req_id,
        "cap_id": cap_id,
        "subject": subject or f"uid:{call.peer.uid}",
        "uid": call.peer.uid,
    }

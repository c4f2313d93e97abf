# SPDX-License-Identifier: MIT
"""What every room records in the same words: who asked, and what was refused (`journalctl STRATA_EVENT=auth.denied`).

Anyone who can connect can be refused as often as he likes, and journald drops what a unit writes beyond its rate
(RateLimitBurst=, journald.conf(5)). So each uid has its share of refusals recorded one by one; of the rest the number
is told. Nobody can push other people's records, or his own later ones, out of the log.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass

from strata.errors import StrataError
from strata.sockets.method import Call
from strata.systemd import journal

PERIOD = 10.0
"""Seconds that a uid's share is for."""

SHARE = 100
"""Refusals of one uid that are recorded one by one within PERIOD."""

WARNING = 4  # syslog(3)


def subject(call: Call) -> str:
    """`cap:ID` when a token let the call pass, else `uid:N`."""
    return f"cap:{call.claims.jti}" if call.claims else f"uid:{call.peer.uid}"


@dataclass
class _Tally:
    recorded: int = 0
    passed_over: int = 0


class Denials:
    """Records refusals; callable as `Server(denied=…)`. One for each room."""

    def __init__(self) -> None:
        self._tallies: dict[int, _Tally] = {}

    def __call__(self, call: Call, error: StrataError) -> None:
        """Record that a call was refused (codes 2 and 3), or count it."""
        tally = self._tallies.get(call.peer.uid)
        if tally is None:
            tally = self._tallies[call.peer.uid] = _Tally()
            asyncio.get_running_loop().call_later(PERIOD, self._end, call.peer.uid)
        if tally.recorded < SHARE:
            tally.recorded += 1
            journal.later(functools.partial(_record, call, error))
        else:
            tally.passed_over += 1

    def _end(self, uid: int) -> None:
        tally = self._tallies.pop(uid)
        if tally.passed_over:
            journal.send(
                "auth.denied",
                f"{tally.passed_over} more calls of uid {uid} were refused within {PERIOD:g} s",
                priority=WARNING,
                subject=f"uid:{uid}",
                uid=uid,
                refusals=tally.passed_over,
            )


def _record(call: Call, error: StrataError) -> None:
    journal.send(
        "auth.denied",
        f"{call.method} refused: {error.message}",
        priority=WARNING,
        action=call.method,
        req_id=call.req_id,
        subject=subject(call),
        uid=call.peer.uid,
        cap_id=error.details.get("cap_id", ""),
        resource=error.details.get("path", ""),
        detail=error.message,
    )

# SPDX-License-Identifier: MIT
"""Descriptors that have come to a server, and who has to close them.

The server owns what it received: it closes them when the call is answered, refused, or never made. A handler that needs
one for longer keeps an os.dup of its own.
"""

from __future__ import annotations

import collections

from strata.errors import InvalidArgument, ResourceExhausted, StrataError, Unavailable
from strata.sockets.descriptors import Passed
from strata.sockets.frame import MAX_DESCRIPTORS
from strata.sockets.letting_go import CLOSER


class Inbox:
    """The descriptors of one connection that came with frames nobody has begun to answer.

    `held` counts them by uid for the whole server; `most` is the share of this one's.
    """

    def __init__(self, held: collections.Counter[int], uid: int, most: int) -> None:
        self._held, self._uid, self._most = held, uid, most
        self._begun = 0  # frames taken so far: each frame has its number
        self._waiting: collections.deque[tuple[int, tuple[int, ...]]] = collections.deque()

    def __len__(self) -> int:
        return sum(len(descriptors) for _, descriptors in self._waiting)

    def put(self, passed: Passed, ahead: int) -> StrataError | None:
        """Own `passed`, for the frame that comes after `ahead` others; or close them and say why."""
        number = self._begun + ahead
        together = passed.descriptors
        if self._waiting and self._waiting[-1][0] == number:
            together = self._waiting.pop()[1] + together
        self._waiting.append((number, together))
        self._held[self._uid] += len(passed.descriptors)
        refused = self._refusal(passed, together)
        if refused:
            self.clear()
        return refused

    def take(self) -> tuple[int, ...]:
        """Those of the frame that is begun now: its own from here on."""
        number, self._begun = self._begun, self._begun + 1
        if not self._waiting or self._waiting[0][0] != number:
            return ()
        _, descriptors = self._waiting.popleft()
        self._release(len(descriptors))
        return descriptors

    def clear(self) -> None:
        """Close all that wait."""
        while self._waiting:
            _, descriptors = self._waiting.pop()
            self._release(len(descriptors))
            CLOSER.close(descriptors)

    def _release(self, count: int) -> None:
        self._held[self._uid] -= count
        if not self._held[self._uid]:
            del self._held[self._uid]

    def _refusal(self, passed: Passed, together: tuple[int, ...]) -> StrataError | None:
        if len(together) > MAX_DESCRIPTORS or (passed.cut and len(passed.descriptors) == MAX_DESCRIPTORS):
            return InvalidArgument(f"cannot take more than {MAX_DESCRIPTORS} descriptors with a frame; send fewer")
        if passed.cut:
            return Unavailable("cannot take the descriptors: too many files are open here; try again later")
        if CLOSER.crowded:
            return Unavailable("cannot take descriptors: too many that were passed cannot be closed; try again later")
        if self._held[self._uid] > self._most:
            return ResourceExhausted(f"cannot take more: uid {self._uid} has {self._most} descriptors waiting")
        return None

# SPDX-License-Identifier: MIT
"""What clients make the door hold in memory: bodies that are still coming, answers that nobody takes.

Anybody may begin to send, whoever he turns out to be, so there is one budget for all. When it is used up, who has held
some of it for longest is dropped; who only has to be answered (`settled`) never is.
"""

from __future__ import annotations

from collections.abc import Callable

from strata.errors import Unavailable


class Held:
    """The budget."""

    def __init__(self, most: int) -> None:
        """`most`: bytes."""
        self._most = most
        self.total = 0
        self._slow: dict[Share, None] = {}  # in the order in which they began

    def share(self, drop: Callable[[], object]) -> Share:
        """The share of one connection, nothing as yet; `drop` ends it."""
        return Share(self, drop)

    def change(self, share: Share, size: int, slow: bool) -> None:
        """The share has so many bytes now, and waits for its client or not."""
        self.total += size - share.size
        share.size = size
        if slow and size:
            self._slow.setdefault(share)
        else:
            self._slow.pop(share, None)

    def make_room(self, share: Share, refuse: bool) -> None:
        """Drop who has waited longest until all fits. When that is the share itself, it is dropped too, or refused,
        which raises Unavailable; one that is alone is only ever refused."""
        while self.total > self._most:
            oldest = next(iter(self._slow), share)
            if oldest is share and refuse:
                raise Unavailable("cannot take more: too much is being sent at once; try again in a moment")
            if oldest is share and len(self._slow) == 1:
                return
            self.change(oldest, 0, slow=False)
            oldest.drop()


class Share:
    """What one connection makes the door hold."""

    __slots__ = ("_held", "drop", "size")

    def __init__(self, held: Held, drop: Callable[[], object]) -> None:
        self._held, self.drop, self.size = held, drop, 0

    def grow(self, size: int) -> None:
        """So many bytes more have come. Raises Unavailable when they are too many."""
        self._held.change(self, self.size + size, slow=True)
        self._held.make_room(self, refuse=True)

    def owe(self, size: int) -> None:
        """So many bytes more are to be sent. What was worked for is not refused."""
        self._held.change(self, self.size + size, slow=True)
        self._held.make_room(self, refuse=False)

    def shrink(self, size: int) -> None:
        """So many bytes less."""
        self._held.change(self, max(0, self.size - size), slow=True)

    def settle(self) -> None:
        """All is there; from now on it is we who take long."""
        self._held.change(self, self.size, slow=False)

    def release(self) -> None:
        """Nothing is held any more."""
        if self.size:
            self._held.change(self, 0, slow=False)

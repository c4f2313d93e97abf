# SPDX-License-Identifier: MIT
"""Which users of the host the users of a session are: a range of 65536 for each, that nobody else has.

From 1879048192 on nothing else hands out ids (systemd's UIDS-GIDS: containers end there, and ids above 2147483647 are
not for use). On disk ids are those inside, so a range may serve another session once its processes are gone.
"""

from __future__ import annotations

from strata.errors import ResourceExhausted

FIRST = 0x7000_0000
SIZE = 0x1_0000
COUNT = 4096


class Ranges:
    """Hands out first ids."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self) -> int:
        """The first id of a free range. Raises ResourceExhausted."""
        for number in range(COUNT):
            first = FIRST + number * SIZE
            if first not in self._taken:
                self._taken.add(first)
                return first
        raise ResourceExhausted(f"cannot open a session: all {COUNT} ranges of user ids are in use; close some")

    def claim(self, first: int) -> None:
        """One that a session already has."""
        self._taken.add(first)

    def give_back(self, first: int) -> None:
        """No process of it is left."""
        self._taken.discard(first)

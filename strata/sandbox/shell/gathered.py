# SPDX-License-Identifier: MIT
"""What one exec wrote: both streams together in the order they were written, and each alone."""

from __future__ import annotations

OUT, ERR = 0, 1


class Gathered:
    """Keeps the first `most` bytes of each, and of both together."""

    def __init__(self, most: int) -> None:
        self.both = bytearray()
        self.streams = (bytearray(), bytearray())
        self.truncated = False
        self._most = most

    def add(self, stream: int, data: bytes) -> None:
        """Bytes of OUT or ERR."""
        for kept in (self.both, self.streams[stream]):
            left = self._most - len(kept)
            if len(data) <= left:
                kept += data
            else:
                kept += data[:left]
                self.truncated = True

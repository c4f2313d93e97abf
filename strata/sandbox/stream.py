# SPDX-License-Identifier: MIT
"""One stream of a background run: from a pipe into a ring, for any number of readers, now or later."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from strata.sandbox.collected import text
from strata.sandbox.paced import PacedReader
from strata.sandbox.ring import Ring

KEPT_BYTES = 1_048_576
PIECE_BYTES = 131_072
"""Of output in one frame: six times as much fits, whatever JSON makes of it."""

_DRAIN_TURNS = 64
_CHARACTER = 4  # the longest in UTF-8


class Stream:
    """Owns the ring, and the pipe's read end while it is open. `changed` is called when something has come."""

    def __init__(self, name: str, ring: Ring, pipe: int, changed: Callable[[], None]) -> None:
        """`pipe` is -1 where the stream was over before a restart."""
        self.name, self.ring, self.pipe = name, ring, pipe
        self._changed = changed
        self._reader = PacedReader(pipe, self._read)
        if pipe >= 0:
            os.set_blocking(pipe, False)
            self._reader.listen(True)

    def drain(self) -> None:
        """Take what is in the pipe now; whoever goes on writing does not keep us."""
        for _ in range(_DRAIN_TURNS):
            if self.pipe < 0 or not self._take():
                return

    def shut(self) -> None:
        """Take no more."""
        if self.pipe >= 0:
            self._reader.listen(False)
            os.close(self.pipe)
            self.pipe = -1

    def close(self) -> None:
        """Let go of all."""
        self.shut()
        self.ring.close()

    def piece(self, offset: int, ended: bool) -> dict[str, Any] | None:
        """What there is from `offset` on, as it is told; None when there is nothing. No character is cut in two,
        unless nothing more is to come."""
        found = self.ring.read(offset, PIECE_BYTES)
        data = found.data
        if not ended or len(data) == PIECE_BYTES:
            data = data[: _whole_characters(data)]
        if not data and not found.lost:
            return None
        said = {"stream": self.name, "offset": found.offset, "size": len(data), **text("data", data)}
        return said | ({"lost": found.lost} if found.lost else {})

    def _read(self) -> int:
        moved = self._take()
        self._changed()
        return moved

    def _take(self) -> int:
        """Move what is there into the ring; how many bytes."""
        try:
            moved = self.ring.take(self.pipe, KEPT_BYTES)
        except BlockingIOError:
            return 0
        if not moved:
            self.shut()
        return moved


def _whole_characters(data: bytes) -> int:
    """Bytes of `data` before a character that may only be half there."""
    for back in range(1, min(_CHARACTER, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if length > back else len(data)
    return len(data)

# SPDX-License-Identifier: MIT
"""An input read as a script: what is missing at its end is zeros, so that every input means something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Script:
    """The bytes of one input, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def word(self) -> int:
        """Two bytes, the higher first."""
        return int.from_bytes(self.take(2), "big")

    def take(self, size: int) -> bytes:
        """So many bytes, filled up with zeros."""
        found = self._data[self._at : self._at + size]
        self._at += size
        return found.ljust(size, b"\0")

    def some(self) -> bytes:
        """Up to 255 bytes, as the first one says; what is not there is not made up."""
        size = self.byte()
        found = self._data[self._at : self._at + size]
        self._at += size
        return found

    def rest(self) -> bytes:
        """All that is left."""
        found = self._data[self._at :]
        self._at = len(self._data)
        return found

    def one(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.byte() % len(choices)]


def pieces(data: bytes, cuts: int) -> list[bytes]:
    """`data` in `cuts` + 1 pieces of about the same length."""
    size = -(-len(data) // (cuts + 1)) or 1
    return [data[at : at + size] for at in range(0, len(data), size)]

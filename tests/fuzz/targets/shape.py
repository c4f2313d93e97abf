# SPDX-License-Identifier: MIT
"""Bytes to the values that a target needs: small, and such that a change of one byte changes one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
MARK = b"\xff"
"""Between the pieces of an input: no text in UTF-8 has it."""


def pieces(data: bytes) -> list[str]:
    """The texts of an input, MARK between two of them; never empty."""
    return [piece.decode("utf-8", "replace") for piece in data.split(MARK)]


class Taken:
    """Values off the front of an input; zeros and empty ones when it is used up."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        """0 to 255."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def number(self, most: int) -> int:
        """0 to `most`."""
        size = (most.bit_length() + 7) // 8
        return int.from_bytes(self.take(size), "big") % (most + 1)

    def choice(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.byte() % len(among)]

    def take(self, count: int) -> bytes:
        """So many bytes, or what is left."""
        found = self._data[self._at : self._at + count]
        self._at += count
        return found

    def piece(self) -> bytes:
        """Up to the next MARK, or to the end."""
        end = self._data.find(MARK, self._at)
        found = self._data[self._at :] if end < 0 else self._data[self._at : end]
        self._at += len(found) + 1
        return found

    def text(self) -> str:
        """A piece as text."""
        return self.piece().decode("utf-8", "replace")

    def texts(self, most: int) -> tuple[str, ...]:
        """As many pieces as a byte says, at most `most`."""
        return tuple(self.text() for _ in range(self.byte() % (most + 1)))

    def rest(self) -> bytes:
        """All that is left."""
        found = self._data[self._at :]
        self._at = len(self._data)
        return found


def value(taken: Taken, words: Sequence[str], depth: int = 3) -> object:
    """A JSON value: what a byte says it is; strings are one of `words` or a piece."""
    kind = taken.byte() % 10
    if kind < 3:
        return taken.choice(words)
    if kind == 3:
        return taken.text()
    if kind == 4:
        return taken.choice((0, 1, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64, 1.5, -0.0, 1e300, 5e-324))
    if kind == 5:
        return taken.number(2**16)
    if kind == 6:
        return taken.choice((True, False, None))
    if depth == 0:
        return ""
    if kind == 7:
        return [value(taken, words, depth - 1) for _ in range(taken.byte() % 4)]
    return members(taken, words, words, depth - 1)


def members(taken: Taken, keys: Sequence[str], words: Sequence[str], depth: int = 2) -> dict[str, object]:
    """A JSON object of up to eight members, their keys mostly among `keys`."""
    found: dict[str, object] = {}
    for _ in range(taken.byte() % 9):
        number = taken.byte()
        key = taken.text() if number == 255 else keys[number % len(keys)]
        found[key] = value(taken, words, depth)
    return found

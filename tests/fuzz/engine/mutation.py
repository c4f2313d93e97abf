# SPDX-License-Identifier: MIT
"""Random changes of known inputs, where there is no coverage to go by."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_NUMBERS = (b"\0", b"\xff", b"0", b"-1", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"9" * 20, b"\n", b'"', b"\\", b"%")


def mutated(source: random.Random, pool: Sequence[bytes], words: Sequence[bytes], longest: int) -> bytes:
    """One to eight changes of one input of `pool`."""
    data = bytearray(source.choice(pool))
    for _ in range(source.randint(1, 8)):
        source.choice(_WAYS)(source, data, pool, words or _NUMBERS)
    return bytes(data[:longest])


def _flip(source: random.Random, data: bytearray, *_: object) -> None:
    if data:
        data[source.randrange(len(data))] ^= 1 << source.randrange(8)


def _put(source: random.Random, data: bytearray, *_: object) -> None:
    if data:
        data[source.randrange(len(data))] = source.randrange(256)


def _cut(source: random.Random, data: bytearray, *_: object) -> None:
    at = source.randint(0, len(data))
    del data[at : at + source.randint(1, 16)]


def _double(source: random.Random, data: bytearray, *_: object) -> None:
    at = source.randint(0, len(data))
    piece = data[at : at + source.randint(1, 32)]
    data[at:at] = piece * source.randint(1, 4)


def _word(source: random.Random, data: bytearray, _: object, words: Sequence[bytes]) -> None:
    at = source.randint(0, len(data))
    data[at : at + source.randint(0, 4)] = source.choice((*words, *_NUMBERS))


def _splice(source: random.Random, data: bytearray, pool: Sequence[bytes], _: object) -> None:
    other, at = source.choice(pool), source.randint(0, len(data))
    data[at:] = other[source.randint(0, len(other)) :]


_WAYS: tuple[Callable[..., None], ...] = (_flip, _put, _cut, _double, _word, _splice)

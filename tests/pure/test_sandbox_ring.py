# SPDX-License-Identifier: MIT
"""A ring keeps the newest bytes of a stream under their offsets, whatever moment its writer is killed at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strata.errors import Internal
from strata.sandbox.ring import Ring

PIECES = st.lists(st.binary(max_size=40), max_size=12)
SIZES = st.integers(1, 50)


class Killed(BaseException):
    """SIGKILL, as far as one process can play it to itself."""


@contextlib.contextmanager
def made(size: int) -> Iterator[Ring]:
    ring = Ring.make("test", size)
    try:
        yield ring
    finally:
        ring.close()


def kept(ring: Ring) -> bytes:
    return ring.read(0, ring.size).data


@given(PIECES, SIZES)
def test_the_newest_bytes_are_kept(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)
    with made(size) as ring:
        for piece in pieces:
            ring.append(piece)
        assert kept(ring) == whole[-size:]
        assert (ring.start, ring.end) == (max(0, len(whole) - size), len(whole))


@given(PIECES, SIZES, st.integers(0, 600), st.integers(0, 60))
def test_a_piece_is_found_by_its_offset_and_what_is_gone_is_told(
    pieces: list[bytes], size: int, offset: int, most: int
) -> None:
    whole = b"".join(pieces)
    with made(size) as ring:
        for piece in pieces:
            ring.append(piece)
        found = ring.read(offset, most)
        assert found.data == whole[found.offset : found.offset + most]
        assert found.lost == max(0, ring.start - offset)
        assert found.offset == min(max(offset, ring.start), ring.end)


@given(PIECES, SIZES, st.integers(0, 60))
@settings(max_examples=300)
def test_a_writer_killed_before_any_of_its_system_calls_leaves_a_whole_ring(
    pieces: list[bytes], size: int, calls: int
) -> None:
    """The next one goes on where the last call ended: every byte that a call wrote is there once."""
    whole = b"".join(pieces)
    with made(size) as ring, pytest.MonkeyPatch.context() as patch:
        left = [calls]
        for name in ("write", "pwrite", "lseek"):
            patch.setattr(os, name, _mortal(getattr(os, name), left))
        with contextlib.suppress(Killed):
            for piece in pieces:
                ring.append(piece)
        patch.undo()
        adopted = Ring(ring.fd)
        assert kept(adopted) == whole[: adopted.end][-size:]
        adopted.append(whole[adopted.end :])
        assert kept(adopted) == whole[-size:]
        assert adopted.end == len(whole)


def _mortal(call: Any, left: list[int]) -> Any:
    def run(*arguments: Any) -> Any:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return call(*arguments)

    return run


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), SIZES)
def test_bytes_of_a_pipe_are_moved_in_order_until_its_end(pieces: list[bytes], size: int) -> None:
    whole = b"".join(pieces)
    reader, writer = os.pipe2(os.O_NONBLOCK)
    with made(size) as ring, open(reader, "rb", buffering=0), open(writer, "wb", buffering=0) as out:
        for piece in pieces:
            out.write(piece)
        with contextlib.suppress(BlockingIOError):
            while True:
                ring.take(reader, 7)
        assert kept(ring) == whole[-size:]
        out.close()
        assert ring.take(reader, 7) == 0


def test_notes_are_whole_lines() -> None:
    with made(10) as ring:
        ring.append(b"0123456789abc")
        ring.note(b"first")
        os.pwrite(ring.fd, b"cut sho", os.fstat(ring.fd).st_size)
        assert ring.notes() == [b"first"]
        ring.note(b"the second")
        assert ring.notes() == [b"first", b"the second"]
        assert kept(ring) == b"3456789abc"


def test_memory_is_taken_as_it_fills() -> None:
    with made(1_048_576) as ring:
        ring.append(b"x")
        assert ring.held() <= 16_384


def test_what_is_no_ring_is_refused() -> None:
    with open(os.devnull, "rb") as other, pytest.raises(Internal, match="something else"):
        Ring(other.fileno())

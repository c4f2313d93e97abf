# SPDX-License-Identifier: MIT
"""strata/sandbox/ring.py: whatever is done to it, it holds the last bytes of what was written."""

from __future__ import annotations

import contextlib
import os

from targets.shape import Taken

from strata.errors import Internal
from strata.sandbox.ring import _AT_LAPS, _LAPS, Ring

INSTRUMENT = ("strata.sandbox.ring",)
SEEDS = (
    b"\x07\x00\x10abcdefgh\x01\x05\x00\x20\x02",
    b"\x10\x00\x7f" + b"x" * 40 + b"\x03\x01\x00\x00\x04\x02\x05\x08",
    b"\x01\x00\x01a\x03\x00\x01b\x06line\xff\x06\xff\x02",
)


def check(data: bytes) -> None:
    """The first byte is the size; then steps against plain bytes that do the same."""
    taken = Taken(data)
    size = taken.byte() % 48 + 1
    ring, written, notes = Ring.make("fuzz", size), bytearray(), []
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        while taken:
            step = taken.byte() % 7
            if step == 0:
                piece = taken.take(taken.byte() % 128)
                ring.append(piece)
                written += piece
            elif step == 1:
                _read(ring, written, size, taken.number(2 * len(written) + 1), taken.byte())
            elif step in (2, 3):
                ring = _taken_over(ring, interrupted=step == 3 and ring._at == size)
            elif step == 4:
                written += _spliced(ring, reader, writer, taken)
            elif step == 5:
                assert ring.held() < 1 << 20
            elif len(notes) < 16:
                notes.append(taken.piece().replace(b"\n", b""))
                ring.note(notes[-1])
            assert ring.end == len(written)
            assert ring.start == max(0, len(written) - size)
            assert ring.notes() == notes
        _read(ring, written, size, 0, 255)
    finally:
        ring.close()
        os.close(reader)
        os.close(writer)
    _anything(data)


def _read(ring: Ring, written: bytes, size: int, offset: int, most: int) -> None:
    piece = ring.read(offset, most)
    begin = min(max(offset, len(written) - size, 0), len(written))
    assert piece.offset == begin
    assert piece.data == written[begin : begin + most]
    assert piece.lost == max(0, begin - offset)


def _taken_over(ring: Ring, interrupted: bool) -> Ring:
    """As the room's successor does it; `interrupted`: the room died when it had only said that a lap begins."""
    if interrupted:
        os.pwrite(ring.fd, _LAPS.pack(ring._laps, ring._laps + 1), _AT_LAPS)
    return Ring(ring.fd)


def _spliced(ring: Ring, reader: int, writer: int, taken: Taken) -> bytes:
    piece = taken.take(taken.byte() % 64 + 1) or b"."
    os.write(writer, piece)
    moved = 0
    while moved < len(piece):
        moved += ring.take(reader, taken.byte() + 1)
    with contextlib.suppress(BlockingIOError):
        assert not ring.take(reader, 8)
    return piece


def _anything(data: bytes) -> None:
    """A descriptor that is no ring is refused, and stays the caller's."""
    fd = os.memfd_create("fuzz")
    os.write(fd, data)
    with contextlib.suppress(Internal):
        Ring(fd)
    os.close(fd)

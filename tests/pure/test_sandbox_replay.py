# SPDX-License-Identifier: MIT
"""One who rejoins a terminal never begins inside a character or an escape sequence."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strata.sandbox import replay
from strata.sandbox.ring import Ring

PLAIN = (b"a", b"7", b"m", b";", b"\n", b"\r", "ä".encode(), "漢".encode(), "🧊".encode())
CONTROL = (b"\x1b[31m", b"\x1b[?1049h", b"\x1b[12;40H", b"\x1b[0 q", b"\x1b(B", b"\x1b7", b"\x1b=")
STRINGS = (b"\x1b]0;title\x07", b"\x1b]8;;http://x\x1b\\", b"\x1bPq#0~~\nsix\x1b\\")
TOKENS = st.sampled_from(PLAIN + CONTROL + STRINGS)


@contextlib.contextmanager
def ring_of(size: int) -> Iterator[Ring]:
    ring = Ring.make("test", size)
    try:
        yield ring
    finally:
        ring.close()


@given(st.lists(TOKENS, max_size=60), st.integers(1, 20))
@settings(max_examples=300)
def test_every_mark_lies_between_sequences(tokens: list[bytes], piece: int) -> None:
    """However the output was cut into reads; and as much as possible of what is kept is shown."""
    stream = b"".join(tokens)
    places = {0}
    for token in tokens:
        places.add(max(places) + len(token))
    with ring_of(64) as ring:
        marks = replay.Marks(ring)
        for at in range(0, len(stream), piece):
            ring.append(stream[at : at + piece])
            marks.update()
        assert marks.oldest in places
        assert marks.oldest >= ring.start
        assert ring.start or marks.oldest == 0


@given(st.lists(TOKENS, max_size=20), st.data())
def test_a_piece_is_whole_up_to_the_sequence_it_cuts(tokens: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(tokens)
    cut = data.draw(st.integers(0, len(stream)))
    found = replay.whole(stream[:cut])
    lengths = [sum(map(len, tokens[:count])) for count in range(len(tokens) + 1)]
    assert found == max(length for length in lengths if length <= cut)


@given(st.binary(max_size=200))
def test_bytes_that_are_nothing_known_never_hold_a_mark_back_for_ever(noise: bytes) -> None:
    assert replay.whole(noise + b"\x07\x1b\\ plain text\n") > len(noise)


@pytest.mark.parametrize(
    ("cut", "rest"),
    [
        (b"31mred\ntext", b"text"),
        (b"31mred\x1b[0mtext", b"\x1b[0mtext"),
        (b"0;a title\x07text", b"text"),
        (b"a title\x1b\\text", b"text"),
        (b"\x9f\xa7\x8a\r\ntext", b"\ntext"),
    ],
)
def test_after_a_restart_reading_begins_where_the_state_is_known_again(cut: bytes, rest: bytes) -> None:
    assert cut[replay.known_again(cut) :] == rest


def test_marking_keeps_up_with_a_terminal() -> None:
    """A mebibyte of coloured text: far faster than a terminal makes it."""
    with ring_of(262_144) as ring:
        marks = replay.Marks(ring)
        data = b"\x1b[32mgreen\x1b[0m and then some plain text to the end of the line\r\n" * 60
        started = time.process_time()
        for _ in range(1_048_576 // len(data)):
            ring.append(data)
            marks.update()
        assert time.process_time() - started < 0.5

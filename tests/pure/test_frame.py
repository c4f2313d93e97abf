# SPDX-License-Identifier: MIT
"""Frames: whatever the bytes and however they are cut, the payloads come out, or a FrameError does."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strata.errors import InvalidArgument
from strata.sockets import frame, message

payloads = st.lists(st.binary(min_size=1, max_size=300), max_size=8)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(payloads, st.lists(st.integers(0, 2000), max_size=30))
def test_any_split_of_any_frames_gives_the_same_payloads(sent: list[bytes], cuts: list[int]) -> None:
    decoder = frame.Decoder()
    got = [payload for piece in pieces(b"".join(map(frame.encode, sent)), cuts) for payload in decoder.feed(piece)]
    assert got == sent
    assert len(decoder) == 0


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_a_frame_that_comes_alone_is_seen_as_what_push_and_next_see(payload: bytes, more: bytes) -> None:
    data = len(payload).to_bytes(4, "big") + payload + more
    decoder = frame.Decoder()
    assert decoder.alone(data) == (payload if payload and not more else None)
    assert len(decoder) == 0
    decoder.push(b"\0")
    assert decoder.alone(data) is None


@given(payloads)
def test_byte_by_byte_gives_the_same_payloads(sent: list[bytes]) -> None:
    decoder = frame.Decoder()
    got = [payload for byte in b"".join(map(frame.encode, sent)) for payload in decoder.feed(bytes([byte]))]
    assert got == sent


@given(payloads, st.binary(min_size=1, max_size=100), st.integers(1, 90))
def test_what_is_not_complete_is_held_back_and_counted(sent: list[bytes], last: bytes, cut: int) -> None:
    decoder = frame.Decoder()
    rest = frame.encode(last)[:-cut]
    assert decoder.feed(b"".join(map(frame.encode, sent)) + rest) == sent
    assert len(decoder) == len(rest)


@given(payloads, st.sampled_from([0, 1_048_577, 2**31, 2**32 - 1]), st.binary(max_size=20))
def test_payloads_ahead_of_an_impossible_header_come_out_then_it_is_refused_for_good(
    sent: list[bytes], size: int, rest: bytes
) -> None:
    decoder = frame.Decoder()
    decoder.push(b"".join(map(frame.encode, sent)) + frame.HEADER.pack(size) + rest)
    assert [decoder.next() for _ in sent] == sent
    for _ in range(2):
        with pytest.raises(frame.FrameError, match=f"cannot read a frame of {size} bytes"):
            decoder.next()


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_random_bytes_raise_nothing_but_frame_error(parts: list[bytes]) -> None:
    decoder = frame.Decoder()
    with contextlib.suppress(frame.FrameError):
        for part in parts:
            decoder.feed(part)


@given(st.integers(0, 2**32 - 1))
def test_a_header_is_one_to_a_mebibyte(size: int) -> None:
    header = frame.HEADER.pack(size)
    if 1 <= size <= 1_048_576:
        assert frame.payload_size(header) == size
    else:
        with pytest.raises(frame.FrameError):
            frame.payload_size(header)


@pytest.mark.parametrize("size", [1, 1_048_576])
def test_the_smallest_and_the_largest_frame_pass(size: int) -> None:
    framed = frame.encode(b"x" * size)
    assert framed[:4] == size.to_bytes(4, "big")
    assert frame.Decoder().feed(framed) == [b"x" * size]


@pytest.mark.parametrize("size", [0, 1_048_577])
def test_a_frame_that_no_peer_would_take_is_not_made(size: int) -> None:
    with pytest.raises(frame.FrameError, match="cannot send"):
        frame.encode(b"x" * size)


def test_a_large_frame_leaves_no_memory_behind() -> None:
    decoder = frame.Decoder()
    decoder.feed(frame.encode(b"x" * frame.MAX_PAYLOAD))
    assert decoder._buffer.__sizeof__() < 1000


finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | finite | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@settings(max_examples=300)
def test_a_random_payload_is_a_request_or_invalid_argument(payload: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        assert isinstance(message.decode_request(payload), message.Request)


@given(json_values)
@settings(max_examples=300)
def test_any_json_is_a_request_or_invalid_argument(value: object) -> None:
    with contextlib.suppress(InvalidArgument):
        message.decode_request(message._encoder.encode(value))


@given(st.text(max_size=50), json_values, st.booleans())
def test_a_reply_comes_back_as_it_was(req_id: str, result: object, more: bool) -> None:
    (payload,) = frame.Decoder().feed(message.encode_result(req_id, result, more))
    reply = message.msgspec.json.decode(payload)
    assert (reply["v"], reply["req_id"], reply["ok"], reply.get("more", False)) == (1, req_id, True, more)
    assert ("result" in reply) == (result is not None)
    assert reply.get("result") == result


@pytest.mark.parametrize("part", ['"', "\\", "\0", "é", "\u2028", "😀", "x"])
@pytest.mark.parametrize("many", [200_000, 400_000, 1_000_000])
def test_no_error_however_long_makes_a_frame_over_the_limit(part: str, many: int) -> None:
    long = part * many
    error = InvalidArgument(f"unknown method: {long}", long=long * 3)
    (payload,) = frame.Decoder().feed(message.encode_error(long, error))
    assert message.msgspec.json.decode(payload)["error"]["code"] == 1

# SPDX-License-Identifier: MIT
"""strata/sockets/frame.py: whatever the split, the same payloads come out; an impossible length ends the stream."""

from __future__ import annotations

from strata.sockets import frame

INSTRUMENT = ("strata.sockets",)
SEEDS = (
    b"\x01" + frame.encode(b"{}"),
    b"\x03" + frame.encode(b'{"v":1}') + frame.encode(b"x" * 40),
    b"\x02" + frame.encode(b"abc")[:-1],
    b"\x07\x00\x00\x00\x00rest",
    b"\x07\x00\x10\x00\x01rest",
    b"\x00" + frame.encode(b"a") * 5 + b"\xff\xff\xff\xff",
)
DICTIONARY = (b"\0\0\0\0", b"\0\0\0\x01", b"\0\x10\0\0", b"\0\x10\0\x01", b"\xff\xff\xff\xff")


def check(data: bytes) -> None:
    """The first byte says how the rest is split."""
    step, stream = (data[0] % 16 + 1, data[1:]) if data else (1, b"")
    expected, rest, broken = _plainly(stream)
    _fed_in_pieces(stream, step, expected, rest, broken)
    _told_ahead(stream, step, expected, broken)
    _alone(stream, expected, rest)
    for payload in expected:
        assert frame.payload_size(frame.encode(payload)[:4]) == len(payload)


def _plainly(stream: bytes) -> tuple[list[bytes], int, bool]:
    """A second reading of the rule: the payloads, the bytes left over, and whether an impossible length came."""
    payloads: list[bytes] = []
    while len(stream) >= 4:
        size = int.from_bytes(stream[:4], "big")
        if size == 0 or size > 1 << 20:
            return payloads, len(stream), True
        if len(stream) < 4 + size:
            break
        payloads.append(stream[4 : 4 + size])
        stream = stream[4 + size :]
    return payloads, len(stream), False


def _fed_in_pieces(stream: bytes, step: int, expected: list[bytes], rest: int, broken: bool) -> None:
    decoder, got, refused = frame.Decoder(), [], False
    for at in range(0, len(stream), step):
        decoder.push(stream[at : at + step])
        try:
            while (payload := decoder.next()) is not None:
                got.append(bytes(payload))
        except frame.FrameError:
            refused = True
    assert got == expected
    assert refused == broken
    assert broken or len(decoder) == rest
    if broken:
        _refuses_for_ever(decoder)


def _refuses_for_ever(decoder: frame.Decoder) -> None:
    for more in (b"", frame.encode(b"later")):
        decoder.push(more)
        try:
            got = decoder.next()
        except frame.FrameError:
            continue
        raise AssertionError(f"a broken stream went on with {got!r}")


def _told_ahead(stream: bytes, step: int, expected: list[bytes], broken: bool) -> None:
    """`ahead` counts the frames before the one of the last byte, and takes nothing."""
    if broken:
        return
    decoder = frame.Decoder()
    head, tail = stream[:step], stream[step:]
    decoder.push(head)
    before = len(decoder)
    ahead = decoder.ahead(tail)
    assert len(decoder) == before
    ends: list[int] = []
    at = 0
    for payload in expected:
        at += 4 + len(payload)
        ends.append(at)
    assert ahead == sum(end < len(stream) for end in ends), (ahead, ends, len(stream))


def _alone(stream: bytes, expected: list[bytes], rest: int) -> None:
    decoder = frame.Decoder()
    whole = decoder.alone(stream)
    assert (whole is not None) == (len(expected) == 1 and rest == 0)
    assert whole is None or whole == expected[0]
    assert len(decoder) == 0

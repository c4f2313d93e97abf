# SPDX-License-Identifier: MIT
"""What comes out of a hostile session: reports of its shell, bytes for a terminal, an answer, a person's eyes."""

from __future__ import annotations

import msgspec
from targets.shape import Taken

from strata.cli.table import printable, render
from strata.sandbox import collected, replay, stream
from strata.sandbox.files import places
from strata.sandbox.replay import Marks
from strata.sandbox.ring import Ring
from strata.sandbox.shell import report
from strata.sandbox.shell.gathered import Gathered
from strata.sockets import frame

INSTRUMENT = ("strata.sandbox", "strata.cli.table")
SEEDS = (
    b"\x00\x03" + b"12 0 0 /root\x00" + b"13 127 1 /a b\xff\x00" + b"nonsense\x00 14 0 0 x\x00",
    b"\x01\x05\x1b[31mred\x1b[0m \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x1b]0;title\x07 \x1bP1;2q\x1b\\ \x1b(B",
    b"\x01\x02\x1b]" + b"x" * 80 + b"\x1b[?25h\xc3",
    b"\x02\x04text \x00\x1f\x7f \xe2\x80\xae\xf0\x9f\x98\x80\xff",
)
DICTIONARY = (
    b"\x1b[",
    b"\x1b]",
    b"\x1bP",
    b"\x07",
    b"\x1b\\",
    b"\x9b",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b" 0 0 /\x00",
    b"\x00",
)


def check(data: bytes) -> None:
    """The first byte: which of them; the second: how it is cut into pieces."""
    taken = Taken(data)
    way, step = taken.byte() % 3, taken.byte() % 24 + 1
    rest = taken.rest()
    (_reports, _terminal, _answer)[way](rest, step)


def _reports(data: bytes, step: int) -> None:
    """However it is cut, the same reports; nothing is kept of a flood."""
    reports, found = report.Reports(), []
    for at in range(0, len(data), step):
        found += reports.feed(data[at : at + step])
    records = data.split(b"\0")[:-1]
    assert found == [one for record in records if (one := report.parse(record))]
    assert report.Reports().feed(data)[-8:] == found[-8:] or len(records) > 60
    for one in found:
        assert 0 <= one.number < 10**9
        assert 0 <= one.code < 10**9
        one.directory.encode()


def _terminal(data: bytes, step: int) -> None:
    length = replay.whole(data)
    assert 0 <= length <= len(data)
    assert replay.whole(data[: len(data) * step // 24]) <= length  # more bytes never make less of it whole
    assert replay.known_again(data) <= len(data)
    if data.isascii() and b"\x1b" not in data:
        assert length == len(data)
    ring = Ring.make("fuzz", 256)
    try:
        marks = Marks(ring)
        for at in range(0, len(data), step):
            ring.append(data[at : at + step])
            marks.update()
            assert ring.start <= marks.oldest <= ring.end, (ring.start, marks.oldest, ring.end)
        again = Marks(ring)
        assert ring.start <= again.oldest <= ring.end
    finally:
        ring.close()


def _answer(data: bytes, step: int) -> None:
    whole = stream._whole_characters(data)
    assert len(data) - 3 <= whole <= len(data)
    gathered = Gathered(step * 8)
    for at in range(0, len(data), step):
        gathered.add(at // step % 2, data[at : at + step])
    assert len(gathered.both) <= step * 8
    assert data.startswith(bytes(gathered.both))
    assert gathered.truncated == (len(data) > step * 8)
    said = collected.fitted({"exit_code": 0}, {"output": data, "stdout": data, "stderr": data[:step]}, "r")
    assert len(msgspec.json.encode(said)) < frame.MAX_PAYLOAD
    for told in (collected.text("data", data), places.named(data, "data")):
        back = msgspec.json.decode(msgspec.json.encode(told))
        assert (_decoded(back["data_b64"]) if "data_b64" in back else back["data"].encode()) == data
    text = data.decode("utf-8", "surrogateescape")
    for line in render(["A", "B"], [(text, "x")]):
        assert line.isprintable()
    assert printable(text).isprintable()


def _decoded(text: str) -> bytes:
    import base64

    return base64.b64decode(text)

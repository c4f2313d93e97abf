# SPDX-License-Identifier: MIT
"""Reading a piece of a file: never waiting on the event loop, never answering with more than one frame carries.

`data` is there only where the bytes are UTF-8; `data_b64` always. When the end of a piece cuts a character in two, it
ends before that character (unless it would be empty): nothing is lost, the next read begins at offset + bytes_read.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import msgspec

from strata.sockets import frame

MAX_SIZE = 1_048_576
INLINE = 65_536
"""Bytes that may be read and encoded on the event loop; more takes a thread."""

_ENVELOPE = 256  # bytes of a reply beside req_id, data and data_b64, generously
_WORST = 8  # bytes that one byte can take in a reply: 6 as \u00XX in `data` and 4/3 in `data_b64`


class Chunk(NamedTuple):
    """Bytes of a file, and whether the file ends behind them."""

    data: bytes
    eof: bool


class ReadResult(msgspec.Struct, frozen=True):
    """Result of fs.read."""

    data_b64: bytes  # msgspec writes bytes as base64, in half the time of making a string of them first
    bytes_read: int
    eof: bool
    data: str | msgspec.UnsetType = msgspec.UNSET


def at_once(fd: int, in_memory: bool, offset: int, size: int) -> Chunk | None:
    """A piece of a file if it can be had without waiting, else None. Raises OSError."""
    if size > INLINE:
        return None
    if in_memory:
        return waiting(fd, offset, size)
    buffer = bytearray(size + 1)  # one more than asked for: that one tells whether the file goes on
    try:
        count = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == 95:  # EOPNOTSUPP: this file system cannot promise not to wait
            return None
        raise
    if count > size:
        return Chunk(bytes(buffer[:size]), False)
    if offset + count < os.fstat(fd).st_size:
        return None  # only the beginning of it was in memory
    return Chunk(bytes(buffer[:count]), True)


def waiting(fd: int, offset: int, size: int) -> Chunk:
    """A piece of a file, however long the disk takes. Raises OSError."""
    parts, left = [], size + 1
    while left and (part := os.pread(fd, left, offset)):
        parts.append(part)
        offset += len(part)
        left -= len(part)
    data = b"".join(parts)
    return Chunk(data[:size], len(data) <= size)


def result(chunk: Chunk, req_id: str) -> ReadResult:
    """The reply to fs.read, cut so that its frame is within the limit (vectors 013, 069)."""
    budget = frame.MAX_PAYLOAD - _ENVELOPE - len(msgspec.json.encode(req_id))
    data, eof = chunk
    while True:
        data, text = _split(data, eof)
        cost = len(data) * _WORST
        if cost > budget:
            cost = (len(data) + 2) // 3 * 4 + (len(msgspec.json.encode(text)) if text is not None else 0)
        if cost <= budget or not data:
            return ReadResult(data, len(data), eof, msgspec.UNSET if text is None else text)
        data, eof = data[: min(len(data) - 1, len(data) * max(budget, 0) // cost)], False


def _split(data: bytes, eof: bool) -> tuple[bytes, str | None]:
    """The bytes, without a character cut in two at their end, and their text if they are UTF-8."""
    try:
        return data, data.decode()
    except UnicodeDecodeError as error:
        cut = error.reason == "unexpected end of data" and error.start > 0 and not eof
        return (data[: error.start], data[: error.start].decode()) if cut else (data, None)

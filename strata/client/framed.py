# SPDX-License-Identifier: MIT
"""Bodies of type application/vnd.strata.stream: bytes of several streams, and what became of them at the end.

Frames of an 8-byte head (kind, three zero bytes, length in big-endian) and that many bytes.
"""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Mapping
from typing import Any, Protocol

from strata.client.connections import MOST as MOST_WHOLE
from strata.client.connections import read_json, refusal
from strata.client.descriptors import b64
from strata.errors import Internal, Unavailable

MEDIA = "application/vnd.strata.stream"
STDOUT, STDERR, RESULT, ERROR = 1, 2, 3, 4
PIECE = 262_144
MOST = 1_048_576
"""Bytes of a stream that are kept for the result, as the room does."""
_HEAD = struct.Struct(">B3xI")
_NAMES = {"stdout": STDOUT, "stderr": STDERR}


class Readable(Protocol):
    """A response."""

    def read(self, size: int, /) -> bytes: ...


class Sink(Protocol):
    """Where a stream goes."""

    def take(self, data: bytes) -> None: ...


class Into:
    """A descriptor of the caller. One that nobody reads any more is not written to again."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._open = descriptor, True

    def take(self, data: bytes) -> None:
        try:
            if self._open:
                write(self._descriptor, data)
        except BrokenPipeError:
            self._open = False


class Kept:
    """The beginning of a stream, for the result."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.truncated = False

    def take(self, data: bytes) -> None:
        kept = data[: MOST - len(self.data)]
        self.truncated |= len(kept) < len(data)
        self.data += kept


def streams(named: Mapping[str, int]) -> dict[int, Sink]:
    """A sink for each stream of a program: the descriptor of that name, or what is kept."""
    return {kind: Into(named[name]) if name in named else Kept() for name, kind in _NAMES.items()}


def read(response: Readable, sinks: Mapping[int, Sink]) -> Any:
    """Give each frame to its sink; the result at the end. Raises StrataError."""
    while True:
        kind, size = _HEAD.unpack(_exactly(response, _HEAD.size))
        if kind in (RESULT, ERROR) and size > MOST_WHOLE:
            raise Internal(f"cannot read the answer: its result has {size} bytes")
        if kind == RESULT:
            return read_json(_exactly(response, size, to_end=True))
        if kind == ERROR:
            raise refusal(read_json(_exactly(response, size, to_end=True)))
        if kind not in sinks:
            raise Internal(f"cannot read the answer: it has a frame of kind {kind}")
        while size:
            data = _exactly(response, min(size, PIECE))
            sinks[kind].take(data)
            size -= len(data)


def with_output(result: Any, sinks: Mapping[int, Sink]) -> Any:
    """The result of a run, and what was kept of its streams in it."""
    if not isinstance(result, dict):
        raise Internal("cannot read the answer: it is no object")
    told = dict(result)
    for name, kind in _NAMES.items():
        sink = sinks[kind]
        if isinstance(sink, Kept):
            told[name] = sink.data.decode("utf-8", "replace")
            told[f"{name}_b64"] = b64(bytes(sink.data))
            told["truncated"] = bool(told.get("truncated")) or sink.truncated
    return told


def write(descriptor: int, data: bytes) -> None:
    """All of it, also where the descriptor does not wait. Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


def _exactly(response: Readable, size: int, to_end: bool = False) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = response.read(min(size - len(parts), PIECE))  # as much is set aside as is asked for
        if not part:
            raise Unavailable("the answer was cut off: the door, or what is between, hung up")
        parts += part
    if to_end:
        response.read(1)  # lets the connection be used again
    return bytes(parts)

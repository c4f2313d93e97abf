# SPDX-License-Identifier: MIT
"""Framing: a 4-byte big-endian length, then that many bytes (spec 1.3). No I/O happens here."""

from __future__ import annotations

import struct

MAX_PAYLOAD = 1_048_576
"""Bytes of payload a frame may carry, either way (1 MiB)."""

MAX_DESCRIPTORS = 4
"""Descriptors that may be passed with one frame, where a service takes any."""

HEADER = struct.Struct(">I")


class FrameError(Exception):
    """The peer announced a frame that cannot be: empty, or over the limit. The connection must be dropped."""


def encode(payload: bytes) -> bytes:
    """Header and payload in one piece. Raises FrameError when the payload is empty or over the limit."""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise FrameError(f"cannot send a frame of {len(payload)} bytes: it must have 1 to {MAX_PAYLOAD}")
    return HEADER.pack(len(payload)) + payload


def payload_size(header: bytes | bytearray) -> int:
    """Bytes that follow this 4-byte header. Raises FrameError for 0 and for more than the limit."""
    size = int.from_bytes(header, "big")
    if not 0 < size <= MAX_PAYLOAD:
        raise FrameError(f"cannot read a frame of {size} bytes: it must have 1 to {MAX_PAYLOAD}")
    return size


class Decoder:
    """Cuts a byte stream into payloads, however the bytes were split on the way.

    Frames wait in here, as the bytes they came as, until `next` asks for them.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0  # what lies before was handed out; it is cut off at the next `feed`, once for many frames

    def __len__(self) -> int:
        """Bytes not handed out yet: whole frames that wait, and the beginning of one that is not complete."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes) -> list[bytearray]:
        """All payloads that `data` completes, in order: `push`, then `next` until there is none. Raises FrameError."""
        self.push(data)
        return list(iter(self.next, None))

    def alone(self, data: bytes) -> bytes | None:
        """The payload, where `data` is one whole frame and nothing waits before it; else None, and nothing is taken."""
        if self._buffer or int.from_bytes(data[:4], "big") != len(data) - 4 or not 4 < len(data) <= 4 + MAX_PAYLOAD:
            return None
        return data[4:]

    def ahead(self, data: bytes) -> int:
        """How many frames come before the one that the last byte of `data` belongs to. Nothing is taken."""
        whole = self._buffer[self._start :] + data
        at, count = 0, 0
        while len(whole) >= at + 4:
            at += 4 + int.from_bytes(whole[at : at + 4], "big")  # an impossible size drops the connection anyhow
            if at >= len(whole):
                break
            count += 1
        return count

    def push(self, data: bytes) -> None:
        """Take bytes as they arrived."""
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def next(self) -> bytearray | None:
        """The next whole payload, or None until more is fed. Raises FrameError, then and at every later call."""
        begin = self._start + 4
        if len(self._buffer) < begin:
            return None
        end = begin + payload_size(self._buffer[self._start : begin])
        if end > len(self._buffer):
            return None
        payload = self._buffer[begin:end]
        if end == len(self._buffer):
            self._buffer, self._start = bytearray(), 0  # gives the memory of a large frame back at once
        else:
            self._start = end
        return payload

# SPDX-License-Identifier: MIT
"""Framing: a 4-byte big-endian length, then that many bytes (spec 1.3). No I/O happens here."""

from __future__ import annotations

import struct

MAX_PAYLOAD = 1_048_576
"""Bytes of payload a frame may carry, either way (1 MiB)."""

HEADER = struct.Struct(">I")


class FrameError(Exception):
    """The peer announced a frame that cannot be: empty, or over the limit. The connection must be dropped."""


def encode(payload: bytes) -> bytes:
    """Header and payload in one piece. Raises FrameError when the payload is over the limit."""
    if len(payload) > MAX_PAYLOAD:
        raise FrameError(f"cannot send a frame of {len(payload)} bytes: the limit is {MAX_PAYLOAD}")
    return HEADER.pack(len(payload)) + payload


def payload_size(header: bytes) -> int:
    """Bytes that follow this 4-byte header. Raises FrameError for 0 and for more than the limit."""
    size: int = HEADER.unpack(header)[0]
    if not 0 < size <= MAX_PAYLOAD:
        raise FrameError(f"cannot read a frame of {size} bytes: it must have 1 to {MAX_PAYLOAD}")
    return size


class Decoder:
    """Cuts a byte stream into payloads, however the bytes were split on the way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes held back because their frame is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads that `data` completes, in order. Raises FrameError; the decoder is then of no further use."""
        if not self._buffer and len(data) > 4 and payload_size(data[:4]) == len(data) - 4:
            return [data[4:]]  # the usual case: one whole frame in one read, no copying through the buffer
        self._buffer += data
        return self._cut()

    def _cut(self) -> list[bytes]:
        buffer, start, payloads = self._buffer, 0, []
        while len(buffer) - start >= 4:
            end = start + 4 + payload_size(bytes(buffer[start : start + 4]))
            if end > len(buffer):
                break
            payloads.append(bytes(buffer[start + 4 : end]))
            start = end
        if start:
            del buffer[:start]
        return payloads

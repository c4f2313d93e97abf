# SPDX-License-Identifier: MIT
"""The client's side of a WebSocket (RFC 6455) on a connected socket: the upgrade, and frames both ways."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from strata.client.connections import read_json, refusal
from strata.errors import Internal, Unavailable

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MOST = 16 * 1_048_576
"""Bytes of one message; a terminal's are far below."""

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_HEAD = 65_536
_SWITCHING = 101


class Message(NamedTuple):
    """`kind` is TEXT, BINARY, CLOSE, PING or PONG."""

    kind: int
    data: bytes


def upgrade(sock: socket.socket, host: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Ask for a WebSocket; the bytes that came after the answer's head. Raises StrataError, and closes the socket."""
    try:
        rest = _upgraded(sock, host, path, headers)
        sock.settimeout(None)  # from here on it is a person who takes his time
    except OSError as error:
        sock.close()
        raise Unavailable(f"cannot open a WebSocket to {host}: {error}") from error
    except BaseException:
        sock.close()
        raise
    return rest


def _upgraded(sock: socket.socket, host: str, path: str, headers: Mapping[str, str]) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    wanted = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key}
    fields = {**wanted, "Sec-WebSocket-Version": "13", **headers}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    sock.sendall("\r\n".join(lines).encode("ascii"))
    status, answer, rest = _head(sock)
    if status != _SWITCHING:
        raise refusal(_body(sock, answer, rest), status)
    wanted_accept = base64.b64encode(hashlib.sha1(f"{key}{_MAGIC}".encode(), usedforsecurity=False).digest()).decode()
    if answer.get("Sec-WebSocket-Accept") != wanted_accept:
        raise Internal(f"cannot use {host}: it switches to something that is no WebSocket")
    return rest


def _head(sock: socket.socket) -> tuple[int, http.client.HTTPMessage, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(_HEAD)
        if not piece or len(data) > _HEAD:
            raise Unavailable("cannot open a WebSocket: there was no answer, or one without an end")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    first, _, fields = head.partition(b"\r\n")
    words = first.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit() or len(words[1]) != 3:
        raise Internal("cannot open a WebSocket: what answers does not speak HTTP")
    try:
        return int(words[1]), http.client.parse_headers(io.BytesIO(fields + b"\r\n\r\n")), rest
    except http.client.HTTPException as error:
        raise Internal(f"cannot open a WebSocket: {error}") from error


def _body(sock: socket.socket, answer: http.client.HTTPMessage, rest: bytes) -> object:
    told = str(answer.get("Content-Length") or "0")
    length = int(told) if told.isdecimal() and len(told) < 9 else 0
    while len(rest) < min(length, _HEAD) and (piece := sock.recv(_HEAD)):
        rest += piece
    try:
        return read_json(rest[:length])
    except Internal:
        return None


def encode(kind: int, data: bytes) -> bytes:
    """A frame of a client, which is masked (RFC 6455, section 5.3)."""
    mask = os.urandom(4)
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | kind, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | kind, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, 0x80 | 127, size)
    return head + mask + _masked(data, mask)


def _masked(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


class Decoder:
    """Cuts what a server sends into messages, however it was split on the way."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._kind, self._parts = 0, bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Raises Internal for what no server may send."""
        self._data += data
        while (frame := self._frame()) is not None:
            final, kind, payload = frame
            if kind >= CLOSE:  # control frames may come between the parts of a message
                yield Message(kind, payload)
                continue
            self._kind = kind or self._kind
            self._parts += payload
            if len(self._parts) > MOST:
                raise Internal(f"cannot read a message of more than {MOST} bytes")
            if final:
                message = Message(self._kind, bytes(self._parts))
                self._kind, self._parts = 0, bytearray()
                yield message

    def _frame(self) -> tuple[bool, int, bytes] | None:
        if len(self._data) < 2:
            return None
        first, second = self._data[0], self._data[1]
        if first & 0x70 or second & 0x80:
            raise Internal("cannot read what came: it is no frame of a WebSocket's server")
        begin, size = self._size(second)
        if size > MOST:
            raise Internal(f"cannot read a frame of {size} bytes: at most {MOST}")
        if size < 0 or len(self._data) < begin + size:
            return None
        payload = bytes(self._data[begin : begin + size])
        del self._data[: begin + size]
        return bool(first & 0x80), first & 0x0F, payload

    def _size(self, second: int) -> tuple[int, int]:
        """Where the payload begins and its length; -1 when that has not come yet."""
        form = {126: "!H", 127: "!Q"}.get(second)
        if form is None:
            return 2, second
        begin = 2 + struct.calcsize(form)
        return begin, struct.unpack_from(form, self._data, 2)[0] if len(self._data) >= begin else -1

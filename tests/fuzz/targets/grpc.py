# SPDX-License-Identifier: MIT
"""The door's gRPC, by a real socket: HTTP/2 frames in any order, messages of every method with lengths that may lie.

Whatever is sent: frames of HTTP/2 or a closed connection, no status that tells of a fault of the door's, nothing left.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time

import hpack
from hostile.door import WITHIN, Hall, heard, send
from hostile.script import Script

from strata.api.proto import sandbox_pb2 as old
from strata.api.proto.strata.v1 import sandbox_pb2 as v1
from strata.api.sniffing import PREFACE

INSTRUMENT = ("strata.api", "grpclib", "h2", "hyperframe")
MAX_LEN = 1024
DICTIONARY = (
    b"\x0a\x01a\x12\x01b", b"\x00\x00\x00\x00\x00", b"\x01\x00\x00\x00\x01", b"\x00\xff\xff\xff\xff",
    b"\x80\x80\x80\x80\x08",
    b"grpc-timeout", b"content-type", b"authorization", b"te", b":path", b"grpc-encoding",
)  # fmt: skip
DATA, HEADERS, RESET, SETTINGS, PING = 0, 1, 3, 4, 6
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
HEAD = {
    ":method": "POST", ":scheme": "http", ":path": "/", ":authority": "localhost", "te": "trailers",
    "content-type": "application/grpc", "authorization": "Bearer good",
}  # fmt: skip
_UNKNOWN, _INTERNAL = "2", "13"
_NO_TIMEOUT = _UNKNOWN, "Invalid grpc-timeout header"
"""What the library answers to a timeout that is none, before any code of ours is asked."""
_PATHS = (
    *(
        f"/{service.full_name}/{method}"
        for module in (v1, old)
        for service in (module.DESCRIPTOR.services_by_name["SandboxService"],)
        for method in service.methods_by_name
    ),
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/no.Such/Thing",
)
_BEGIN = PREFACE + struct.pack("!I", 0)[1:] + bytes([SETTINGS, 0]) + struct.pack("!I", 0)
_ECHO = b"the end!"
_PATIENCE, _PAUSE = 0.05, 0.001
_IDS = b"\x0a\x01a\x12\x01b"  # owner and session, in most messages
_HALL = Hall()


def _call(path: int, message: bytes, flags: int = 0) -> bytes:
    """As the script below takes it: headers, a message, the end of what is sent."""
    return bytes([0, path, flags, 0]) + bytes([1, 1, len(message)]) + message


SEEDS = (
    *(b"\x00" + _call(number, _IDS) for number in range(len(_PATHS))),
    b"\x00" + _call(0, _IDS) + bytes([2, 8]) + _call(3, b"\xff\xff"),
    b"\x00" + bytes([0, 1, 1, 0]) + bytes([3, SETTINGS, 0, 0, 6]) + b"\x00\x04\x7f\xff\xff\xff" + _call(2, b""),
    b"\x00" + bytes([0, 4, 0, 0, 1, 4, 4]) + _IDS[:4] + bytes([4, 0, 9, 5]) + bytes([1, 0, 2]) + b"xx",
    b"\x80" + struct.pack("!I", 8)[1:] + bytes([PING, 0]) + struct.pack("!I", 0) + b"12345678",
)


def setup() -> None:
    _HALL.open()


def teardown() -> None:
    _HALL.close()


def check(data: bytes) -> None:
    """The first byte says whether the rest is raw bytes or a script of frames."""
    script = Script(data)
    how = script.byte()
    sent = script.rest() if how & 0x80 else _frames(script)
    _judge(_talk([_BEGIN, sent] if how & 1 else [_BEGIN + sent]))
    _HALL.check()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def _frames(script: Script) -> bytes:
    """Calls, messages, resets, frames of any kind, window updates."""
    encoder, stream, found = hpack.Encoder(), -1, bytearray()
    for _ in range(64):
        if not script:
            break
        action = script.byte() % 5
        if action == 0:
            stream += 2
            found += _headers(script, encoder, stream)
        elif action == 1:
            found += _message(script, max(1, stream))
        elif action == 2:
            found += _frame(RESET, 0, max(1, stream), script.take(4))
        elif action == 3:
            found += _frame(script.byte(), script.byte(), script.byte(), script.some())
        else:
            found += _frame(8, 0, script.byte(), script.take(4))
    return bytes(found)


def _headers(script: Script, encoder: hpack.Encoder, stream: int) -> bytes:
    path, flags, more = script.one(_PATHS), script.byte(), script.some()
    headers = list((HEAD | {":path": path}).items())
    if flags & 2:
        headers.pop()
    name, _, value = more.decode("latin-1").partition("=")
    if name:
        headers.append((name, value * (300 if flags & 8 else 1)))
    if flags & 4:
        headers = headers[2:]
    return _frame(HEADERS, _END_HEADERS | (flags & _END_STREAM), stream, encoder.encode(headers))


def _message(script: Script, stream: int) -> bytes:
    """With the length that is true, or another; and in one frame or two."""
    way, payload = script.byte(), script.some()
    told = len(payload) + ((way >> 4) << (8 if way & 8 else 0) if way & 2 else 0)
    data = bytes([way >> 2 & 1]) + struct.pack("!I", told) + payload
    return _frame(DATA, 0, stream, data[:3]) + _frame(DATA, way & _END_STREAM, stream, data[3:])


def _talk(parts: list[bytes]) -> bytes:
    """All that is said until the door hangs up, or has had time for all of it and we hang up."""
    with _HALL.connect() as sock:
        send(sock, [*parts, _frame(PING, 0, 0, _ECHO)])
        sock.settimeout(_PATIENCE)
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while (data := sock.recv(65_536)) and _ECHO not in found + data:
                found += data
            found += data
            time.sleep(_PAUSE)  # for calls that the room is asked
        sock.settimeout(WITHIN)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        return found + heard(sock)


def _judge(answer: bytes) -> None:
    """It is frames of HTTP/2; headers can be read, and statuses are the caller's fault, if anybody's."""
    for told in _heads(answer):
        status, words = told.get("grpc-status"), told.get("grpc-message")
        assert status not in (_UNKNOWN, _INTERNAL) or (status, words) == _NO_TIMEOUT, told


def status(answer: bytes) -> str | None:
    """The first status that a call ended with."""
    return next((told["grpc-status"] for told in _heads(answer) if "grpc-status" in told), None)


def _heads(answer: bytes) -> list[dict[str, str]]:
    decoder, found = hpack.Decoder(), []
    while len(answer) >= 9:
        size, kind, flags = int.from_bytes(answer[:3], "big"), answer[3], answer[4]
        payload, answer = answer[9 : 9 + size], answer[9 + size :]
        if kind == HEADERS and len(payload) == size:
            assert flags & _END_HEADERS, "headers that go on in another frame"
            found.append(dict(decoder.decode(payload)))
    return found

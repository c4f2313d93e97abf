# SPDX-License-Identifier: MIT
"""The door's WebSockets, by a real socket: an upgrade of any route, then frames as no browser would send them.

Whatever is sent: frames that a client can read, a close with a code that is no fault of the door's, nothing left.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time

from hostile.door import WITHIN, Hall, heard, send
from hostile.script import Script

from strata.client.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Decoder

INSTRUMENT = ("strata.api", "websockets")
MAX_LEN = 1024
DICTIONARY = (
    b'{"resize":{"rows":', b'"cols":', b'{"type":"input","data":"', b'{"type":"resize"', b"exit\n", b"\xff\xfe",
    b"65536",
    b"-1", b"1e9", b"\xed\xa0\x80", b"null", b"\x03\xe8", b"\x03\xed",
)  # fmt: skip
_PATHS = (
    b"/api/v1/sessions/a/b/terminals/main",
    b"/api/ws/a/b/shell",
    b"/api/ws/shell",
    b"/api/v1/sessions/a/b/terminals/main?rows=24&cols=80&offset=0",
    b"/api/v1/sessions/a/b/terminals/%00?rows=0",
)
_HEADERS = (
    b"",
    b"X-Owner-Id: a\r\nX-Session-Id: b\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Sec-WebSocket-Protocol: strata, bearer.good\r\n",
)
_UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
_ECHO = b"that was all"
_LAST = b"\x89" + bytes([0x80 | len(_ECHO)]) + b"\0\0\0\0" + _ECHO  # a ping
_PATIENCE, _PAUSE = 0.05, 0.001
CODES = {1000, 1001, 1002, 1003, 1005, 1007, 1009, 1013, 4400, 4401, 4403, 4404, 4409, 4429}
_HALL = Hall()


def _frame(kind: int, data: bytes, way: int = 0) -> bytes:
    """As the script below takes it."""
    return bytes([0x80 | kind, way, len(data)]) + data


SEEDS = (
    b"\x00\x00" + _frame(BINARY, b"ls\n") + _frame(TEXT, b'{"resize":{"rows":40,"cols":120}}'),
    b"\x00\x00" + _frame(BINARY, b"exit\n") + _frame(CLOSE, b"\x03\xe8bye"),
    b"\x01\x00"
    + _frame(TEXT, b'{"type":"input","data":"ls\\n"}')
    + _frame(TEXT, b'{"type":"resize","rows":5,"cols":7}'),
    b"\x02\x01" + _frame(TEXT, b'{"type":"input","data":"exit\\n"}') + _frame(PING, b"?"),
    b"\x03\x00" + bytes([TEXT, 0, 3]) + b'{"r' + _frame(PING, b"!") + _frame(CONTINUATION, b'esize":{}}'),
    b"\x00\x00" + _frame(TEXT, b"\xff\xfe") + _frame(PONG, b""),
    b"\x00\x02" + _frame(BINARY, b"unmasked", 1) + _frame(BINARY, b"lying", 2) + _frame(BINARY, b"long", 3),
    b"\x00\x80" + b"\x82\x85\x00\x00\x00\x00hello\x88\x80\x00\x00\x00\x00",
)


def setup() -> None:
    _HALL.open()


def teardown() -> None:
    _HALL.close()


def check(data: bytes) -> None:
    """The first two bytes choose path, headers, and whether the rest is raw bytes or a script of frames."""
    script = Script(data)
    path, how = script.one(_PATHS), script.byte()
    upgrade = _UPGRADE % (path, _HEADERS[how & 3])
    frames = [script.rest()] if how & 0x80 else _frames(script)
    answer = _talk(upgrade, [b"".join(frames)] if how & 0x40 else frames, early=how & 0x30 == 0x30)
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 101 ", b"HTTP/1.1 400 ", b"HTTP/1.1 401 ")) or not answer, answer[:500]
    if head.startswith(b"HTTP/1.1 101 "):
        _judge(rest)
    _HALL.check()


def _talk(upgrade: bytes, parts: list[bytes], early: bool) -> bytes:
    """All that is said until the door hangs up, or has had time for all of it and we hang up. With `early`, nobody
    waits for the answer to the upgrade."""
    with _HALL.connect() as sock:
        send(sock, [upgrade])
        found = b"" if early else sock.recv(65_536)
        sock.settimeout(_PATIENCE)
        send(sock, [*parts, _LAST])
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while (data := sock.recv(65_536)) and _ECHO not in found + data:
                found += data
            found += data
        time.sleep(_PAUSE)  # for what is still on its way to the terminal
        sock.settimeout(WITHIN)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        return found + heard(sock)


def _frames(script: Script) -> list[bytes]:
    """Each: opcode and flags, how its length is told, its payload."""
    found: list[bytes] = []
    while script and len(found) < 64:
        first, way, payload = script.byte(), script.byte(), script.some()
        told = len(payload) + (way >> 4 if way & 2 else 0)
        mask = 0 if way & 1 else 0x80
        if way & 4:
            length = struct.pack("!BQ", mask | 127, told if way & 0x80 else told << 40)
        elif way & 8 or told > 125:
            length = struct.pack("!BH", mask | 126, told)
        else:
            length = bytes([mask | told])
        found.append(bytes([first]) + length + (b"\0\0\0\0" if mask else b"") + payload)
    return found


def _judge(data: bytes) -> None:
    """What came after the upgrade can be read, and tells of no fault of the door's."""
    for message in Decoder().feed(data):
        if message.kind == TEXT:
            json.loads(message.data)
        elif message.kind == CLOSE:
            code = int.from_bytes(message.data[:2], "big") if message.data else 1005
            assert code in CODES or 3000 <= code < 5000, message  # the latter is what a client said himself
        else:
            assert message.kind in (BINARY, PING, PONG), message

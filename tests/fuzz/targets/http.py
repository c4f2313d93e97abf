# SPDX-License-Identifier: MIT
"""The door's HTTP/1, by a real socket: raw bytes, or a request of any route with headers and body of the input's.

Whatever is sent: an answer with a documented status or a closed connection, nothing in the log, nothing left.
"""

from __future__ import annotations

import re

from hostile.door import Hall
from hostile.script import Script, pieces

from strata.api import table
from strata.api.routing import WEBSOCKET

INSTRUMENT = ("strata.api",)
MAX_LEN = 2048
DICTIONARY = (
    b"\r\n", b"\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"Host: localhost\r\n", b"Authorization: Bearer good\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: ", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Upgrade: h2c\r\n", b"0\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM",
    b"GET ", b"PUT ", b"POST ", b"DELETE ", b"OPTIONS ", b"/api/v1/sessions/a/b", b"Range: bytes=0-1\r\n", b"%2f",
    b"Accept: application/vnd.strata.stream\r\n", b"Content-Type: application/json\r\n", b"Origin: http://x\r\n",
    b'{"command":"', b'"argv":["', b"null", b"1e400", b"9223372036854775808", b"\\ud800", b"X-Owner-Id: a\r\n",
)  # fmt: skip
STATUSES = {101, 200, 202, 204, 206, 301, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 416, 429, 431}
_ROUTES = tuple(route for route in table.ROUTES if route.verb != WEBSOCKET)
_HEADERS = (
    b"Accept: application/vnd.strata.stream",
    b"Accept: text/event-stream",
    b"Range: bytes=2-5",
    b"X-Owner-Id: a",
    b"X-Session-Id: b",
    b"Content-Type: application/octet-stream",
    b"If-Range: x",
    b"Expect: 100-continue",
)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_HALL = Hall()


def _seed(route: int, headers: int, query: bytes, body: bytes, way: int = 0x80) -> bytes:
    return bytes([way, route, headers, len(query)]) + query + body


def _of(method: str) -> int:
    return next(number for number, route in enumerate(_ROUTES) if route.method == method and "v1" in route.path)


SEEDS = (
    b"\x00GET /api/stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n\r\n",
    b"\x03POST /api/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\nContent-Length: 35\r\n\r\n"
    b'{"owner_id":"a","session_id":"b"}  ',
    b"\x00PUT /api/v1/sessions/a/b/files?path=f HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\x00GET /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\n\r\n" * 3,
    b"\x40OPTIONS * HTTP/1.0\r\n\r\n",
    _seed(_of("sandbox.exec"), 0, b"", b'{"command":"pwd","timeout_ms":5}'),
    _seed(_of("sandbox.run"), 0, b"", b'{"argv":["true"],"env":{"A":"b"},"background":true}'),
    _seed(_of("sandbox.run"), 1, b"argv=cat&argv=-&env=A=b", b"typed"),
    _seed(_of("sandbox.create"), 0, b"", b'{"owner":"a","session":"b","limits":{"memory_max":"1G"},"ttl":"5m"}'),
    _seed(_of("sandbox.output"), 2, b"stdout=4&follow=true", b""),
    _seed(_of("sandbox.get"), 4, b"path=f", b""),
    _seed(_of("sandbox.move"), 0, b"", b'{"from":"f","to_b64":"/w==","replace":false}'),
    _seed(_of("sandbox.resize"), 0, b"", b'{"rows":24,"cols":80,"viewer":1}'),
    *(_seed(number, 0, b"", b"{}") for number in range(len(_ROUTES))),
)


def setup() -> None:
    _HALL.open()


def teardown() -> None:
    _HALL.close()


def check(data: bytes) -> None:
    """The first byte says how: its highest bit, whether the rest is a request to be built; then whether we say that
    nothing more will come; then in how many pieces."""
    way, rest = (data[0], data[1:]) if data else (0, b"")
    sent = _request(Script(rest)) if way & 0x80 else rest
    answer = _HALL.ask(pieces(sent, way & 0x07), hurry=bool(way & 0x40))
    if answer:
        found = _STATUS.match(answer)
        assert found or b"PRI * HTTP/2.0" in sent, f"no HTTP: {answer[:500]!r}"
        assert not found or int(found[1]) in STATUSES or found[1] == b"100", answer[:1000]
    _HALL.check()


def _request(script: Script) -> bytes:
    """Of one of the routes, complete."""
    route, chosen, query = script.one(_ROUTES), script.byte(), script.some()
    path = re.sub(r"\{\w+\}", "a", route.path).encode()
    target = path + (b"?" + bytes(byte for byte in query if 32 < byte < 127) if query else b"")
    headers = [header for number, header in enumerate(_HEADERS) if chosen >> number & 1]
    body = script.rest()
    if body or route.verb in ("POST", "PUT"):
        headers.append(b"Content-Length: %d" % len(body))
    first = (route.verb.encode() + b" " + target + b" HTTP/1.1", b"Host: localhost", b"Authorization: Bearer good")
    return b"\r\n".join([*first, b"Connection: close", *headers, b"", body])

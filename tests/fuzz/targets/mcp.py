# SPDX-License-Identifier: MIT
"""MCP at the door, by a real socket: JSON-RPC of any shape, in a session and without one, and every tool's arguments.

Whatever is sent: an answer with a documented status, no internal error, nothing in the log, nothing left.
"""

from __future__ import annotations

import json
import re

from hostile.door import Hall
from hostile.script import Script

from strata.api import mcp_tools

INSTRUMENT = ("strata.api",)
MAX_LEN = 1024
DICTIONARY = (
    b'{"jsonrpc":"2.0","id":1,"method":"', b'"params":', b"tools/call", b"tools/list", b"initialize", b"ping",
    b"notifications/initialized", b"notifications/cancelled", b'"arguments":{', b'"_meta":{"progressToken":1}', b"null",
    b'"owner_id":"a","session_id":"b"', b"[", b"{", b"1e999", b"\\ud800", b'"id":null', b'"result":{}', b'"error":{}',
)  # fmt: skip
STATUSES = {200, 202, 400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 429}
INTERNAL = -32603
_TOOLS = tuple(mcp_tools.TOOLS)
_INITIALIZE = json.dumps({
    "jsonrpc": "2.0", "id": 0, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
}).encode()  # fmt: skip
_SESSION_ID = re.compile(rb"mcp-session-id: (\w+)", re.IGNORECASE)
_HALL = Hall()
_session = b""

SEEDS = (
    b"\x00" + b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    b"\x00" + b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
    b"\x00" + b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    b"\x01" + _INITIALIZE,
    b"\x00" + b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"exec","arguments":{"command":"ls"}}}',
    *(bytes([2, number]) + b'{"owner_id":"a","session_id":"b"}' for number in range(len(_TOOLS))),
    *(bytes([2, number]) + b'{"owner_id":"a","session_id":"b","path":"f","command":"ls","argv":["true"],'
      b'"content":"x","name":"n"}' for number in range(len(_TOOLS))),
)  # fmt: skip


def setup() -> None:
    _HALL.open()
    _renew()


def teardown() -> None:
    _HALL.close()


def check(data: bytes) -> None:
    """The first byte chooses session or none, a plain body or a tool's arguments, verb and media types."""
    script = Script(data)
    way = script.byte()
    if way & 2:
        body = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%b","arguments":%b}}'
        body %= script.one(_TOOLS).encode(), script.rest()
    else:
        body = script.rest()
    verb = b"DELETE" if way & 0xF0 == 0xF0 else b"POST"
    answer = _post(body, b"" if way & 1 else _session, verb, accept=not way & 4, typed=not way & 8)
    _judge(answer)
    opened = _SESSION_ID.search(answer)
    if opened and opened[1] != _session:
        _judge(_post(b"", opened[1], b"DELETE"))
    if not way & 1 and (verb == b"DELETE" or answer.startswith(b"HTTP/1.1 404")):
        _post(b"", _session, b"DELETE")
        _renew()
    _HALL.check()


def _renew() -> None:
    """A session that calls can be made in."""
    global _session
    opened = _SESSION_ID.search(_post(_INITIALIZE, b""))
    assert opened, "no session is opened"
    _session = opened[1]
    _post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', _session)


def _post(body: bytes, session: bytes, verb: bytes = b"POST", accept: bool = True, typed: bool = True) -> bytes:
    lines = [
        verb + b" /mcp/ HTTP/1.1", b"Host: localhost", b"Authorization: Bearer good", b"Connection: close",
        b"Content-Length: %d" % len(body),
    ]  # fmt: skip
    lines += [b"Accept: application/json, text/event-stream"] * accept + [b"Content-Type: application/json"] * typed
    lines += [b"Mcp-Session-Id: " + session] if session else []
    return _HALL.ask([b"\r\n".join([*lines, b"", body])])


def _judge(answer: bytes) -> None:
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert status, answer[:500]
    assert int(status[1]) in STATUSES, answer[:1000]
    for found in re.findall(rb'"code":\s*(-?\d+)', answer):
        assert int(found) != INTERNAL, answer[:2000]

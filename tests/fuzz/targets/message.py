# SPDX-License-Identifier: MIT
"""strata/sockets/message.py and the clients' reading of a reply: envelopes as a hostile peer would write them."""

from __future__ import annotations

import json

import msgspec
from targets.shape import Taken, members

from strata.errors import BY_CODE, Internal, InvalidArgument, StrataError
from strata.sockets import client, frame, message

INSTRUMENT = ("strata.sockets", "strata.errors")
SEEDS = (
    b'{"v":1,"req_id":"a1","method":"fs.open","auth":{"token":"v4.public.x"},"params":{"path":"/tmp"}}',
    b"null",
    b"{}",
    b'{"v":1,"method":"m","params":null,"auth":null,"other":[1,{"a":1.5e300}]}',
    b'{"ok":false,"error":{"code":3,"name":"PERMISSION_DENIED","message":"no","details":{"path":"/x"}}}',
    b'{"ok":false,"error":{"code":"3","message":1,"details":[]}}',
    b'{"v":1.0,"req_id":"\\u0000\\ud83d\\ude00","method":"x"}',
    b"[" * 300,
    b'{"params":' + b'{"a":' * 200,
)
DICTIONARY = (
    *(b'"v":1', b'"req_id":', b'"method":', b'"auth":', b'"token":', b'"params":', b'"ok":false', b'"error":'),
    *(b'"code":', b'"message":', b'"details":', b"null", b"true", b"1e999", b"-0", b"\\ud800", b"\\u0000", b"\\u2028"),
)


_KEYS = (
    "v",
    "req_id",
    "method",
    "auth",
    "token",
    "params",
    "ok",
    "error",
    "result",
    "more",
    "code",
    "message",
    "details",
)
_WORDS = (*_KEYS, "", "fs.open", "\0", "é", "\U0001f600", "x" * 70)


def check(data: bytes) -> None:
    """The same bytes as a request to a service, and as a reply to a client; then the same, made of what they say."""
    _check(data)
    _check(msgspec.json.encode(members(Taken(data), _KEYS, _WORDS)))


def _check(data: bytes) -> None:
    try:
        request = message.decode_request(data)
    except InvalidArgument as error:
        _carried(message.encode_error("", error), error)
    else:
        _accepted(request)
    _reply(data)


def _accepted(request: message.Request) -> None:
    assert message.decode_request(msgspec.json.encode(request)) == request
    framed = message.encode_result(request.req_id, request.params, more=bool(request.v))
    assert frame.payload_size(framed[:4]) == len(framed) - 4
    told = json.loads(framed[4:])
    assert told["req_id"] == request.req_id
    if told["ok"]:
        assert msgspec.json.decode(framed[4:]).get("result") == request.params
    _carried(message.encode_error(request.req_id, InvalidArgument(f"unknown method: {request.method}")), None)


def _carried(framed: bytes, error: StrataError | None) -> None:
    """An error arrives as the error that it was."""
    assert 4 < len(framed) <= 4 + frame.MAX_PAYLOAD
    arrived = client.error_of(json.loads(framed[4:]))
    assert type(arrived) is InvalidArgument
    assert error is None or arrived.message == error.message


def _reply(data: bytes) -> None:
    """What a service answers is not to be trusted by a client either."""
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):  # what client.Client turns into Internal
        return
    if isinstance(reply, dict):
        found = client.error_of(reply)
        assert type(found) in (*BY_CODE.values(), Internal)
        assert isinstance(found.message, str)
        assert isinstance(found.details, dict)

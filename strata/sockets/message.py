# SPDX-License-Identifier: MIT
"""The envelope, version 1 (spec 1.4): requests are parsed into typed values, replies rendered from them."""

from __future__ import annotations

from typing import Any

import msgspec

from strata.errors import InvalidArgument, ResourceExhausted, StrataError
from strata.sockets import frame

VERSION = 1


class Auth(msgspec.Struct, frozen=True, gc=False):
    """Credentials of a request."""

    token: str = ""


class Request(msgspec.Struct, frozen=True, gc=False):
    """One call. Unknown fields are ignored; a field of the wrong JSON type makes the whole frame malformed."""

    v: int = 0
    req_id: str = ""
    method: str = ""
    auth: Auth | None = None
    params: dict[str, Any] | None = None


class _Reply(msgspec.Struct, omit_defaults=True, gc=False):
    v: int | None = None  # None is never sent; the default only makes omit_defaults keep the 1
    req_id: str | None = None
    ok: bool | None = None
    result: Any = None
    more: bool = False


class _ErrorBody(msgspec.Struct, omit_defaults=True):
    code: int | None = None
    name: str | None = None
    message: str | None = None
    details: dict[str, Any] = {}


class _Failure(msgspec.Struct):
    v: int
    req_id: str
    ok: bool
    error: _ErrorBody


_decoder = msgspec.json.Decoder(Request | None)
_encoder = msgspec.json.Encoder()


def decode_request(payload: bytes | bytearray) -> Request:
    """Parse one frame. Raises InvalidArgument for anything that is not a request envelope; the caller then closes.

    `null` and `{}` parse to an empty request, which the version check refuses with an answer (spec 1.4).
    """
    try:
        return _decoder.decode(payload) or Request()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"cannot read the request: {error}") from error


def encode_result(req_id: str, result: Any, more: bool = False) -> bytes:
    """A framed `ok` reply; `more` marks every frame of a stream but the last.

    A reply over the frame limit becomes a ResourceExhausted error: nothing over 1 MiB is ever sent (vector 013).
    """
    payload = _encoder.encode(_Reply(VERSION, req_id, True, result, more))
    if len(payload) > frame.MAX_PAYLOAD:
        too_large = ResourceExhausted(
            f"cannot answer: the result has {len(payload)} bytes and a frame carries {frame.MAX_PAYLOAD}; ask for less",
            size=len(payload),
            limit=frame.MAX_PAYLOAD,
        )
        return encode_error(req_id, too_large)
    return frame.encode(payload)


def encode_error(req_id: str, error: StrataError) -> bytes:
    """A framed error reply with code, name, message and details."""
    body = _ErrorBody(error.code, error.name, error.message, error.details)
    payload = _encoder.encode(_Failure(VERSION, req_id, False, body))
    if len(payload) > frame.MAX_PAYLOAD:  # messages echo names, and a name may be as long as a frame
        return encode_error(req_id[:64], type(error)(error.message[:1024]))
    return frame.encode(payload)

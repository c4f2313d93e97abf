# SPDX-License-Identifier: MIT
"""The predecessor's form: `strata-ctl [-token TOKEN] METHOD [PARAMS_JSON]` (spec 1.12).

The whole reply envelope goes to stdout as JSON, indented by two; the exit code is 0 only for `ok: true`. Beyond the
predecessor: `-token -` and `-token @FILE` keep the secret out of argv, which every user of the machine can read in
`ps`; so do `--token-file PATH` and STRATA_TOKEN_FILE. `--timeout SECONDS` bounds the wait. A stream prints one
envelope for each of its frames.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from strata.cli import secret, target
from strata.cli.foreign import shown
from strata.errors import InvalidArgument, StrataError
from strata.paths import Paths
from strata.sockets.frame import FrameError

USAGE = "usage: strata-ctl [-token TOKEN] <method> [params_json]"
ANSWER_SECONDS = 60.0
"""How long a raw call waits for an answer. Not for supervisor.*: a drain or an event may take as long as it takes."""

# Go's encoding/json escapes these too; DEL and the C1 controls would otherwise reach the terminal as commands.
_ESCAPED = {code: f"\\u{code:04x}" for code in (*b"<>&", *range(0x7F, 0xA0), 0x2028, 0x2029)}


class Request(NamedTuple):
    """One call as typed. `timeout` is seconds, None to wait for ever."""

    method: str
    params: dict[str, Any] | None
    token: str
    timeout: float | None


def run(argv: Sequence[str]) -> int:
    """Make the call; 0 when the reply is ok, else 1."""
    if not argv:
        sys.stderr.write(f"{USAGE}\n       strata-ctl --help   lists the verbs\n")
        return 1
    try:
        return _exchange(parse(argv, os.environ.get("STRATA_TOKEN_FILE", "")))
    except StrataError as error:
        reason = error.message
    except (FrameError, ValueError, RecursionError) as error:
        reason = f"cannot read the reply: {error}"
    sys.stderr.write(f"error: {shown(reason)}\n")
    return 1


def parse(argv: Sequence[str], token_file: str = "") -> Request:
    """Read the arguments; `token_file` serves when none of them gives a token. Raises InvalidArgument."""
    token: str | None = None
    timeout: str | None = None
    rest = list(argv)
    while rest and rest[0].startswith("-"):
        flag = rest.pop(0)
        if flag == "-token":
            token = secret.token(_value(rest, "token"))
        elif flag == "--token-file":
            token = secret.token("@" + _value(rest, "token file"))
        elif flag == "--timeout":
            timeout = _value(rest, "timeout")
        else:
            raise InvalidArgument(f"unknown flag {flag}")
    if not rest or not rest[0]:
        raise InvalidArgument("missing method")
    if token is None:
        token = secret.token("@" + token_file) if token_file else ""
    return Request(_method(rest[0]), _params(rest[1:]), token, _seconds(timeout, rest[0]))


def _value(rest: list[str], what: str) -> str:
    if not rest:
        raise InvalidArgument(f"missing {what} value")
    return rest.pop(0)


def _method(word: str) -> str:
    if "." not in word:
        raise InvalidArgument(f"cannot call {word!r}: a method has a dot, such as fs.list; verbs go before any flag")
    return word


def _params(rest: Sequence[str]) -> dict[str, Any] | None:
    if not rest:
        return None
    try:
        params = json.loads(rest[0], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid params JSON: {error}") from error
    if params is not None and not isinstance(params, dict):
        raise InvalidArgument("invalid params JSON: expected an object")
    return params


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _seconds(word: str | None, method: str) -> float | None:
    if word is None:
        return None if method.startswith("supervisor.") else ANSWER_SECONDS
    try:
        seconds = float(word)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise InvalidArgument(f"cannot use --timeout {word}: expected seconds, 0 to wait for ever")
    return seconds or None


def _exchange(request: Request) -> int:
    with target.connect(Paths.from_env(), request.method, request.timeout) as client:
        ok = False
        for reply in client.replies(request.method, request.params, request.token):
            ok = reply.get("ok") is True
            _show(reply)
    return 0 if ok else 1


def _show(reply: dict[str, Any]) -> None:
    text = json.dumps(reply, indent=2, ensure_ascii=False).translate(_ESCAPED) + "\n"
    # A lone surrogate cannot be UTF-8; "backslashreplace" writes it as the JSON escape that it came from.
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()

# SPDX-License-Identifier: MIT
"""`exec`: one command in a session's own shell, which remembers directory, variables and functions."""

from __future__ import annotations

import base64
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from strata.cli import outcome, output, sandboxes, typed
from strata.cli.typed import Option, Typed
from strata.errors import InvalidArgument

VERB = typed.Verb(
    "exec",
    "[OPTIONS] [OWNER/SESSION] -- COMMAND...",
    f"""Run a command in the session's own shell, which remembers directory, variables and functions.

    One word is shell text as it stands: `exec a/b -- 'cd src && make'`. Several words are one command with its
    arguments, each as typed. The sandbox is opened if it is not there. The output is shown when the command has ended;
    `run` passes it on at once.

    {outcome.HELP}
    """,
    (
        Option(
            "stdin", ("-i", "--stdin"), "", "Give the command this program's standard input; otherwise it has none."
        ),
        typed.TIMEOUT._replace(help="End the command after that time instead of 30s."),
        typed.TOKEN_FILE,
    ),
)

_STDIN_MAX = 512 * 1024
"""Bytes; a request must fit in a frame. `run` takes any amount."""


def main(argv: Sequence[str]) -> int:
    """Run what was typed; its exit code."""
    wanted = typed.read(VERB, argv)
    result = sandboxes.ask("exec", parameters(wanted), wanted.last("token_file"), patient=True)
    for stream, name in ((sys.stdout, "stdout"), (sys.stderr, "stderr")):
        stream.buffer.write(content(result, name))
        stream.flush()
    if result.get("truncated"):
        output.note("strata-ctl: the output was longer than is kept; `strata-ctl run` shows all")
    if reason := outcome.reason(result):
        output.note(f"strata-ctl: {reason}")
    return outcome.code(result)


def parameters(wanted: Typed) -> dict[str, Any]:
    """What sandbox.exec is asked for. Raises InvalidArgument."""
    words = wanted.words
    params: dict[str, Any] = {**wanted.place.params(), "command": words[0] if len(words) == 1 else shlex.join(words)}
    if wanted.given("timeout"):
        params["timeout_ms"] = typed.milliseconds(wanted.last("timeout"))
    if wanted.given("stdin"):
        params |= _stdin()
    return params


def _stdin() -> dict[str, str]:
    data = sys.stdin.buffer.read(_STDIN_MAX + 1)
    if len(data) > _STDIN_MAX:
        raise InvalidArgument(f"cannot pass more than {_STDIN_MAX} bytes of standard input; `strata-ctl run` can")
    try:
        return {"stdin": data.decode()}
    except UnicodeDecodeError:
        return {"stdin_b64": base64.b64encode(data).decode()}


def content(result: Mapping[str, Any], name: str) -> bytes:
    """The bytes of one of a result's streams, which come as text where they are UTF-8."""
    encoded = result.get(f"{name}_b64")
    if isinstance(encoded, str):
        return base64.b64decode(encoded)
    return str(result.get(name) or "").encode("utf-8", "surrogatepass")

# SPDX-License-Identifier: MIT
"""Where the service is, and what shows who is calling."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from strata.errors import InvalidArgument
from strata.paths import Paths

TOKEN_FILE = "STRATA_TOKEN_FILE"  # noqa: S105  a variable's name
SECONDS = 60.0
"""How long an answer may take that does not wait for work of unknown length."""


class Place(NamedTuple):
    """`url` is that of an HTTP door; without one, `socket` is the room's own. `timeout` in seconds. `ca` is a file with
    the authorities that an https door's certificate may come from, "" those of this machine."""

    socket: Path
    url: str
    token: str
    timeout: float | None
    ca: str = ""


def place(
    endpoint: str | os.PathLike[str] | None,
    token: str | None,
    timeout: float | None,
    env: Mapping[str, str] = os.environ,
    *,
    ca: str | os.PathLike[str] | None = None,
) -> Place:
    """From what a program says: `http://…`, `https://…`, a socket's path, or nothing for the one of this machine.

    Without a token, the file that STRATA_TOKEN_FILE names is read. Raises InvalidArgument.
    """
    where = os.fspath(endpoint) if endpoint is not None else ""
    found = _token(env) if token is None else token
    if ca and not where.startswith("https://"):
        raise InvalidArgument(f"cannot use ca={os.fspath(ca)!r}: only a door at https:// shows a certificate")
    if where.startswith(("http://", "https://")):
        return Place(Path(), where.rstrip("/"), found, timeout, os.fspath(ca or ""))
    if where and not os.path.isabs(where.removeprefix("unix://")):
        raise InvalidArgument(
            f"cannot use {where!r} as an endpoint: give https://HOST:PORT, http://HOST:PORT or a socket's path"
        )
    socket = Path(where.removeprefix("unix://")) if where else Paths.from_env(env).socket("sandbox")
    return Place(socket, "", found, timeout)


def _token(env: Mapping[str, str]) -> str:
    file = env.get(TOKEN_FILE, "")
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no token"
        raise InvalidArgument(f"cannot read {TOKEN_FILE}={file}: {reason}") from error

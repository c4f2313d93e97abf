# SPDX-License-Identifier: MIT
"""The sandbox service's socket for `run`, which has no time to lose: connected before the rest of the verb is loaded.

A command joins cgroups, and on an idle machine the first move into one waits for the kernel's grace period, some ten
milliseconds. The service begins it when somebody connects, so it passes while Python is still reading files here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from strata.cli import early
from strata.errors import StrataError, Unavailable
from strata.paths import Paths
from strata.sockets.client import Client

_TOKEN_FILE = "STRATA_TOKEN_FILE"  # noqa: S105  the name of a variable


def connect(timeout: float | None = None) -> Client:
    """The service of this machine; `timeout` in seconds. Raises Unavailable with what to do."""
    path = Paths.from_env().socket("sandbox")
    if sock := early.take():
        sock.settimeout(timeout)
        return Client.over(sock, str(path))
    try:
        return Client(path, timeout)
    except Unavailable as error:
        raise Unavailable(
            f"cannot reach the sandbox service: {error.message}; start Strata with `strata-ctl up`"
        ) from error


def token(file: str) -> str:
    """That of `file`, else of the file that STRATA_TOKEN_FILE names, else none. Raises InvalidArgument."""
    if not (file := file or os.environ.get(_TOKEN_FILE, "")):
        return ""
    from strata.cli import secret

    return secret.token(f"@{file}")


def call(client: Client, method: str, params: Any, token: str, descriptors: Sequence[int] = ()) -> Any:
    """The result of `sandbox.METHOD`. Raises StrataError with a sentence for a person."""
    try:
        return client.call(f"sandbox.{method}", params, token, descriptors=descriptors)
    except StrataError as error:
        if error.message.startswith("cannot "):
            raise
        raise type(error)(f"cannot {method}: {error.message}", **error.details) from error

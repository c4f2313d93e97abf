# SPDX-License-Identifier: MIT
"""How the verbs knock: one call to a core service, and what to do when nobody opens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from strata.errors import Internal, StrataError, Unavailable
from strata.paths import Paths
from strata.sockets.client import Client
from strata.sockets.frame import FrameError

SECONDS = 30.0
"""How long a verb waits for an answer unless --timeout says otherwise."""
MACHINES = Path("/run/strata")
"""Where a Strata that root runs answers."""


def call(paths: Paths, method: str, params: Any = None, token: str = "", timeout: float | None = SECONDS) -> Any:
    """The result of a core service's method; `timeout` in seconds. Raises StrataError with a sentence for a person."""
    with connect(paths, method.partition(".")[0], timeout) as client, told(method):
        return client.call(method, params, token)


def stream(paths: Paths, method: str, params: Any = None, timeout: float | None = None) -> Iterator[Any]:
    """Results of a streaming method, until it ends or nothing came for `timeout` seconds. Raises StrataError."""
    with connect(paths, method.partition(".")[0], timeout) as client:
        yield from client.stream(method, params)


def answers(paths: Paths, service: str = "supervisor") -> bool:
    """Whether somebody listens on the socket of a core service."""
    try:
        Client(paths.socket(service), 5.0).close()
    except Unavailable:
        return False
    return True


def connect(paths: Paths, service: str, timeout: float | None) -> Client:
    """A connection to a core service. Raises Unavailable with what to do."""
    try:
        return Client(paths.socket(service), timeout)
    except Unavailable as error:
        remedy = f"start Strata with `strata-ctl up`{machines_own(paths)}"
        if service != "supervisor" and answers(paths):
            remedy = f"look at `strata-ctl status`, then `strata-ctl start {service}`"
        raise Unavailable(f"cannot reach {service} ({error.message}); {remedy}") from error


def machines_own(paths: Paths) -> str:
    """A clause for a user who has no Strata of his own on a machine that has one; "" where that is not so."""
    there = paths._replace(runtime_dir=MACHINES)
    if paths.runtime_dir == MACHINES or not answers(there):
        return ""
    return f", or operate the machine's with `STRATA_RUNTIME_DIR={MACHINES}`"


@contextlib.contextmanager
def told(method: str) -> Iterator[None]:
    """What goes wrong in here becomes a sentence for a person, about that method. Raises StrataError."""
    try:
        yield
    except (FrameError, ValueError, RecursionError) as error:
        raise Internal(f"cannot read the answer to {method}: {error}") from error
    except StrataError as error:
        raise _with_prefix(error, method) from error


def _with_prefix(error: StrataError, method: str) -> StrataError:
    if error.message.startswith("cannot "):
        return error
    return type(error)(f"cannot complete {method}: {error.message}", **error.details)

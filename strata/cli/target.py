# SPDX-License-Identifier: MIT
"""Which socket a method is for (spec 1.12): by convention for registry and supervisor, else as the registry says."""

from __future__ import annotations

import socket
import sys
from typing import Any

from strata.errors import InvalidArgument, StrataError, Unavailable
from strata.paths import Paths
from strata.sockets.client import Client
from strata.sockets.frame import FrameError

BY_CONVENTION = ("registry", "supervisor")
RESOLVE_SECONDS = 5.0
DIAL_SECONDS = 10.0


def connect(paths: Paths, method: str, timeout: float | None) -> Client:
    """A connection to the service that `method` names. Raises StrataError when there is none to be had."""
    service = method.partition(".")[0]
    if not service or "/" in service or "\0" in service:
        raise InvalidArgument(f"cannot call {method!r}: it must start with the name of a service")
    if service in BY_CONVENTION:
        return Client(paths.socket(service), timeout)
    return dial(_resolve(paths, service), timeout)


def dial(endpoint: str, timeout: float | None) -> Client:
    """Connect to `tcp://HOST:PORT`, `unix://PATH` or a bare path. Raises Unavailable."""
    if endpoint.startswith("tcp://"):
        return _dial_tcp(endpoint, timeout)
    path = endpoint.removeprefix("unix://")
    try:
        return Client(path, timeout)
    except ValueError as error:  # a NUL in it
        raise Unavailable(f"dial {path!r}: {error}") from error


def _dial_tcp(endpoint: str, timeout: float | None) -> Client:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    try:
        sock = socket.create_connection((host.strip("[]"), int(port)), DIAL_SECONDS)
    except (OSError, ValueError, OverflowError) as error:  # a port that is none, a host that is no name
        raise Unavailable(f"dial {endpoint}: {getattr(error, 'strerror', None) or error}") from error
    sock.settimeout(timeout)
    return Client.over(sock, endpoint)


def _resolve(paths: Paths, service: str) -> str:
    """The endpoint that the registry knows; when it cannot say, the conventional path and a notice on stderr."""
    convention = str(paths.socket(service))
    try:
        with Client(paths.socket("registry"), RESOLVE_SECONDS) as client:
            reply = client.exchange("registry.resolve", {"service": service}, req_id=f"resolve-{service}")
        endpoint = _member(_member(reply, "result"), "endpoint")
        if isinstance(endpoint, str) and endpoint:
            return endpoint
        reason = str(_member(_member(reply, "error"), "message") or "its answer names no endpoint")
    except StrataError as error:
        reason = error.message
    except (FrameError, ValueError, RecursionError) as error:
        reason = f"cannot read its answer: {error}"
    sys.stderr.write(f"notice: registry unavailable ({reason}); using {convention}\n")
    return convention


def _member(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None

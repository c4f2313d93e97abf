# SPDX-License-Identifier: MIT
"""What a web page must not do: call the door behind its user's back.

Every request that a page of another origin makes carries Origin (Fetch, 3.1), and is refused unless the settings name
that origin. A page whose own name was made to point to this machine (DNS rebinding) has its name in Host: on loopback
only names that cannot be rebound are taken.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from strata.api.mount import Scope
from strata.errors import InvalidArgument, PermissionDenied

_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain"})
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Seen(NamedTuple):
    """The headers that matter here."""

    host: str
    origin: str


def seen(headers: Iterable[tuple[bytes, bytes]]) -> Seen:
    """Raises InvalidArgument for a request with two hosts or two origins (RFC 9112, 3.2)."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in (b"host", b"origin"):
            if name in found:
                raise InvalidArgument(f"cannot take the request: it has two {name.decode()} headers")
            found[name] = value.decode("latin-1").strip()
    return Seen(found.get(b"host", ""), found.get(b"origin", ""))


def check(scope: Scope, allowed_origins: Collection[str]) -> str:
    """The origin of the page that calls, if an allowed other one, else "". Raises PermissionDenied."""
    host, origin = seen(scope["headers"])
    server = scope.get("server")
    secure = scope.get("scheme") in ("https", "wss")  # a page under another name would need a certificate for it
    if server and _is_loopback(server[0]) and not secure and not _cannot_be_rebound(host):
        raise PermissionDenied(f"cannot take a request for the host {host[:64]!r}: use 127.0.0.1 or localhost")
    if not origin or _same(origin, host):
        return ""
    if origin in allowed_origins:
        return origin
    raise PermissionDenied(f"cannot take a request from the web page {origin[:64]!r}: api.allowed_origins lists others")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False  # a unix socket


def _cannot_be_rebound(host: str) -> bool:
    """An address, or a name that every resolver keeps local (RFC 6761, 6.3). HTTP/1.0 sends no host at all."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if not host or name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same(origin: str, host: str) -> bool:
    """Whether the page was served under the very name and port that is called now."""
    try:
        page, here = urlsplit(origin), urlsplit(f"//{host}")
        port = page.port or _DEFAULT_PORTS.get(page.scheme, 0)
        return bool(page.hostname) and (page.hostname, port) == (
            here.hostname,
            here.port or _DEFAULT_PORTS.get(page.scheme, 0),
        )
    except ValueError:
        return False

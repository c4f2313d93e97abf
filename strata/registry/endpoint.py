# SPDX-License-Identifier: MIT
"""Endpoints as URIs: `unix:///run/x.sock`, `tcp://host:port`, `tcp://[v6]:port`, or a bare absolute path."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from strata.errors import InvalidArgument

MAX_LENGTH = 4096
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")  # RFC 1123 2.1, and `_` as users write it
_LONGEST_HOST = 253
_TCP = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^\[\]:/?#@]*)):(?P<port>[0-9]{1,5})")
_SHAPES = "unix:///path, tcp://host:port, tcp://[v6]:port or /path"


class Unix(NamedTuple):
    """A unix socket by its absolute path."""

    path: str


class Tcp(NamedTuple):
    """A TCP port; `host` is a name or an address without brackets."""

    host: str
    port: int


def parse(text: str) -> Unix | Tcp:
    """Read an endpoint. Raises InvalidArgument that says which forms there are."""
    if len(text) > MAX_LENGTH:
        raise InvalidArgument(f"cannot use an endpoint of {len(text)} characters: at most {MAX_LENGTH}")
    if not text.isprintable() or " " in text:
        raise _wrong(text, "it holds a space or an unprintable character")
    if text.startswith("/"):
        return Unix(text)
    scheme, found, rest = text.partition("://")
    if not found:
        raise _wrong(text, "it has no scheme")
    if scheme == "unix":
        return _unix(text, rest)
    if scheme == "tcp":
        return _tcp(text, rest)
    raise _wrong(text, f"the scheme {scheme!r} is not known")


def _unix(text: str, path: str) -> Unix:
    if not path.startswith("/"):
        raise _wrong(text, "the path must be absolute")
    return Unix(path)


def _tcp(text: str, rest: str) -> Tcp:
    match = _TCP.fullmatch(rest)
    if not match:
        raise _wrong(text, "after tcp:// come a host and a port")
    port = int(match["port"])
    if not 0 < port <= 65535:
        raise _wrong(text, "the port must lie between 1 and 65535")
    if match["v6"] is not None:
        return Tcp(_v6(text, match["v6"]), port)
    if not _is_host(match["host"]):
        raise _wrong(text, f"{match['host']!r} is not a host name")
    return Tcp(match["host"], port)


def _is_host(name: str) -> bool:
    labels = name.removesuffix(".").split(".")
    return len(name) <= _LONGEST_HOST and all(_LABEL.fullmatch(label) for label in labels)


def _v6(text: str, address: str) -> str:
    try:
        return str(ipaddress.IPv6Address(address))
    except ValueError as error:
        raise _wrong(text, "between the brackets stands no IPv6 address") from error


def _wrong(text: str, reason: str) -> InvalidArgument:
    shown = text if len(text) <= 80 else text[:79] + "…"
    return InvalidArgument(f"cannot use the endpoint {shown!r}: {reason}; use {_SHAPES}", param="endpoint")

# SPDX-License-Identifier: MIT
"""Where a request ends and whom it is for, without room for a second opinion.

Whoever stands before the door may read an ambiguous request in another way (RFC 9112, 11.2), so that none is taken.
The parser refuses two lengths and a length beside chunks; here is what it lets pass.
"""

from __future__ import annotations

from typing import TypeAlias

import httptools

Headers: TypeAlias = list[tuple[bytes, bytes]]

_VERSIONS = ("1.0", "1.1")


def wrong(version: str, headers: Headers) -> str:
    """What is wrong with a request's head, "" for nothing."""
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if version not in _VERSIONS:
        return "the door speaks HTTP/1.1, and HTTP/2 to those who begin with its preface"
    if codings not in ([], [b"chunked"]) or (codings and version == "1.0"):
        return "chunked is the only transfer coding, and of HTTP/1.1"  # RFC 9112, 6.1
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 and (hosts or version == "1.1"):
        return "a request has one Host header"  # RFC 9112, 3.2
    if hosts and any(letter in hosts[0] for letter in b" \t/?#@\\,"):
        return "the Host header must be HOST or HOST:PORT"
    return ""


def addressed(url: bytes, headers: Headers) -> None:
    """A target that names a host counts instead of the Host header (RFC 9112, 3.2.2)."""
    if url.startswith((b"/", b"*")):
        return
    target = httptools.parse_url(url)
    host: bytes = b"[%b]" % target.host if b":" in target.host else target.host
    host += b":%d" % target.port if target.port else b""
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]

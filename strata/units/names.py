# SPDX-License-Identifier: MIT
"""Unit names: systemd's string escaping (systemd.unit(5), STRING ESCAPING) and the names that Strata gives its units.

>>> escape("a-b/c"), unescape("a\\\\x2db-c")
('a\\\\x2db-c', 'a-b/c')
"""

from __future__ import annotations

import re

from strata.errors import InvalidArgument

SLICE = "strata.slice"
SUPERVISOR = "strata-supervisor.service"
CORE = ("registry", "identity", "fs", "supervisor", "sandbox", "api")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})|(\\)|(-)")
_UNIT = re.compile(r"strata-(svc-)?(.+)\.(service|socket)")


def escape(text: str) -> str:
    """What `systemd-escape TEXT` prints: `/` becomes `-`, any other odd byte `\\xNN`."""
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(_escaped(byte, first=index == 0) for index, byte in enumerate(raw))


def _escaped(byte: int, *, first: bool) -> str:
    if byte == 0x2F:
        return "-"
    if byte not in _PLAIN or (first and byte == 0x2E):
        return f"\\x{byte:02x}"
    return chr(byte)


def unescape(text: str) -> str:
    """The inverse, as `systemd-escape --unescape`. Raises InvalidArgument for a backslash that starts no `\\xNN`."""

    def original(match: re.Match[bytes]) -> bytes:
        if match[1]:
            return bytes([int(match[1], 16)])
        if match[2]:
            raise InvalidArgument(f"cannot unescape {text!r}: a backslash must be followed by x and two hex digits")
        return b"/"

    return _ESCAPE.sub(original, text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def check_name(name: str) -> str:
    """`name` itself if it may name a service. The alphabet is a subset of what a unit name may hold as it is, so
    different services always have different units."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"cannot use {name!r} as a service name: "
            "it must be 1 to 64 of A-Z a-z 0-9 _ . - and start with a letter or digit"
        )
    return name


def core_unit(name: str, kind: str) -> str:
    """The unit of a core service: `core_unit("fs", "service")` is `strata-fs.service`."""
    return f"strata-{check_name(name)}.{kind}"


def service_unit(name: str, core: bool, kind: str) -> str:
    """The unit of any service: core ones are `strata-NAME`, users' own `strata-svc-NAME`."""
    return core_unit(name, kind) if core else f"strata-svc-{check_name(name)}.{kind}"


def service_of(unit: str) -> str | None:
    """The service that a `.service` or `.socket` unit belongs to, or None if the unit is not one of Strata's."""
    match = _UNIT.fullmatch(unit)
    if match is None or not _NAME.fullmatch(match[2]) or (match[1] is None) != (match[2] in CORE):
        return None
    return match[2]

# SPDX-License-Identifier: MIT
"""What the targets on manifests and units share: places to render for, and what a D-Bus signature lets through."""

from __future__ import annotations

from typing import Any

from strata.units.access import Access
from strata.units.context import Context

PLACES = tuple(
    Context(
        mode=mode,  # type: ignore[arg-type]
        systemd_version=version,
        runtime_dir="/run/strata",
        state_dir="/var/lib/st rata%",
        config_dir="/etc/strata",
        python="/usr/bin/python3",
        code=Access(True, ("/root",), ("/root/a b",)),
        node_id="local-0",
        identity_key_file="/etc/key",
        api_tls_certificate="/etc/cert",
        api_tls_key="/etc/tls key",
        path="/usr/bin",
    )
    for mode, version in (("system", 252), ("user", 257))
)
_INTEGERS = {
    "y": (0, 2**8),
    "q": (0, 2**16),
    "u": (0, 2**32),
    "t": (0, 2**64),
    "n": (-(2**15), 2**15),
    "i": (-(2**31), 2**31),
    "x": (-(2**63), 2**63),
}


def fits(signature: str, value: Any) -> bool:
    """Whether a value can be sent as a D-Bus signature says (dbus-specification, Type System)."""
    ends = _complete(signature, 0)
    return ends == len(signature) and _fits(signature, value)


def _complete(signature: str, at: int) -> int:
    """Where the complete type that begins at `at` ends."""
    if signature[at] == "a":
        return _complete(signature, at + 1)
    if signature[at] != "(":
        return at + 1
    at += 1
    while signature[at] != ")":
        at = _complete(signature, at)
    return at + 1


def _fits(kind: str, value: Any) -> bool:
    if kind == "ay":
        return isinstance(value, bytes) or all(_fits("y", item) for item in value)
    if kind[0] == "a":
        return isinstance(value, list | tuple) and all(_fits(kind[1:], item) for item in value)
    if kind[0] == "(":
        return _struct(kind[1:-1], value)
    if kind == "b":
        return isinstance(value, bool)
    if kind == "s":
        return isinstance(value, str) and "\0" not in value and not any("\ud800" <= ch <= "\udfff" for ch in value)
    if kind == "d":
        return isinstance(value, float)
    low, end = _INTEGERS[kind]
    return isinstance(value, int) and low <= value < end


def _struct(inner: str, value: Any) -> bool:
    kinds, at = [], 0
    while at < len(inner):
        end = _complete(inner, at)
        kinds.append(inner[at:end])
        at = end
    return len(value) == len(kinds) and all(map(_fits, kinds, value))

# SPDX-License-Identifier: MIT
"""Unit text to the properties that StartTransientUnit takes (org.freedesktop.systemd1(5))."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from strata.errors import InvalidArgument
from strata.units import names
from strata.units.directives import lookup
from strata.units.model import UnitText
from strata.units.rows import Property, Row
from strata.units.text import Assignment, parse

__all__ = ["Encoded", "Property", "encode"]

_SPECIFIER = re.compile(r"%(%|[A-Za-z])")
_SECTIONS = {"service": "Service", "socket": "Socket", "scope": "Scope", "slice": "Slice"}


class Encoded(NamedTuple):
    """`properties` in the order of the text; `skipped` are directives that this systemd is too old for and that a unit
    does without."""

    properties: tuple[Property, ...]
    skipped: tuple[str, ...]


def encode(unit: UnitText, systemd_version: int) -> Encoded:
    """Encode a unit's text. Raises InvalidArgument, naming unit and directive, for what cannot be set."""
    properties: list[Property] = []
    skipped: list[str] = []
    specifiers = _specifiers(unit.name)
    for (section, name), assigned in _gathered(unit).items():
        row = _row(unit, section, name)
        if row.since > systemd_version:
            _degrade(unit, row, systemd_version)
            skipped.append(name)
            continue
        properties += _properties(unit, row, assigned, specifiers)
    return Encoded(tuple(properties), tuple(skipped))


def _gathered(unit: UnitText) -> dict[tuple[str, str], tuple[str, ...]]:
    own = _SECTIONS.get(unit.name.rpartition(".")[2])
    if own is None:
        raise InvalidArgument(f"cannot start {unit.name}: Strata runs services, sockets, scopes and slices")
    gathered: dict[tuple[str, str], tuple[str, ...]] = {}
    for found in parse(unit.text):
        _check_section(unit, found, own)
        key = (found.section, found.name)
        gathered[key] = (*gathered.get(key, ()), found.value)
    return gathered


def _check_section(unit: UnitText, found: Assignment, own: str) -> None:
    if found.section not in ("Unit", own):
        raise InvalidArgument(
            f"cannot set {found.name} of {unit.name}: line {found.line} is in [{found.section}], "
            f"expected [Unit] or [{own}]"
        )


def _row(unit: UnitText, section: str, name: str) -> Row:
    try:
        return lookup(section, name)
    except InvalidArgument as error:
        raise InvalidArgument(f"{error.message} (in {unit.name})", unit=unit.name, directive=name) from error


def _degrade(unit: UnitText, row: Row, systemd_version: int) -> None:
    if not row.degradable:
        raise InvalidArgument(
            f"cannot set {row.name} of {unit.name}: it needs systemd {row.since}, here runs {systemd_version}",
            unit=unit.name,
            directive=row.name,
        )


def _properties(unit: UnitText, row: Row, assigned: tuple[str, ...], specifiers: dict[str, str]) -> list[Property]:
    try:
        return [_with_specifiers(found, specifiers) for found in row.encode(assigned)]
    except InvalidArgument as error:
        raise InvalidArgument(
            f"cannot set {row.name} of {unit.name}: {error.message}", unit=unit.name, directive=row.name
        ) from error


def _with_specifiers(found: Property, specifiers: dict[str, str]) -> Property:
    if found.signature == "aay":  # LogExtraFields=, the one text that travels as bytes
        return found._replace(value=[_expanded(field.decode(), specifiers).encode() for field in found.value])
    return found._replace(value=_expanded(found.value, specifiers))


def _specifiers(unit: str) -> dict[str, str]:
    """The specifiers of systemd.unit(5) that a unit's name alone decides. D-Bus setters expand none at all."""
    stem = unit.rpartition(".")[0]
    prefix, at, instance = stem.partition("@")
    last = prefix.rpartition("-")[2]
    return {
        "%": "%",
        "n": unit,
        "N": stem,
        "p": prefix,
        "P": names.unescape(prefix),
        "i": instance if at else "",
        "I": names.unescape(instance) if at else "",
        "j": last,
        "J": names.unescape(last),
    }


def _expanded(value: Any, specifiers: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _SPECIFIER.sub(lambda match: _specifier(match, specifiers), value)
    if isinstance(value, (tuple, list)):
        return type(value)(_expanded(item, specifiers) for item in value)
    return value


def _specifier(match: re.Match[str], specifiers: dict[str, str]) -> str:
    if match[1] not in specifiers:
        raise InvalidArgument(
            f"{match[0]} is not expanded in a transient unit; write ${{runtime_dir}}, ${{state_dir}} or ${{config_dir}}"
            " in the manifest, or %% for a percent sign"
        )
    return specifiers[match[1]]

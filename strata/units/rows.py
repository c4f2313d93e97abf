# SPDX-License-Identifier: MIT
"""What a row of the directive table is, and the few ways in which assignments become D-Bus properties.

A row is made by one of:
  one     the last assignment counts                                  Nice=, MemoryMax=
  each    every assignment is sent, in order, since the last empty one   Environment=, ExecStart=
  merged  all assignments together make one value                     CapabilityBoundingSet=
and `one_as` / `each_as` for directives whose value decides which property is set (StandardOutput=file:…).
An empty assignment puts a transient unit, which starts from the defaults, back to the default: nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

Assigned: TypeAlias = tuple[str, ...]


class Property(NamedTuple):
    """A property as StartTransientUnit takes it: plain Python values, laid out as `signature` says."""

    name: str
    signature: str
    value: Any


class Row(NamedTuple):
    """A directive. `sample` is a value that a test sets on a real unit; `since` the first systemd that takes it over
    D-Bus; a `degradable` one is left out below that version, any other is refused."""

    name: str
    sample: str
    encode: Callable[[Assigned], tuple[Property, ...]]
    since: int = 0
    degradable: bool = False


Read: TypeAlias = Callable[[str], Any]
ReadAs: TypeAlias = Callable[[str], tuple[Property, ...]]


def one(
    name: str, signature: str, read: Read, sample: str, *, bus: str = "", since: int = 0, degradable: bool = False
) -> Row:
    """A directive whose last assignment counts."""
    return Row(name, sample, _last(_property(bus or name, signature, read)), since, degradable)


def each(name: str, signature: str, read: Read, sample: str, *, bus: str = "", since: int = 0) -> Row:
    """A directive whose assignments add up; each is sent, as systemd-run(1) does."""
    return Row(name, sample, _all(_property(bus or name, signature, read)), since)


def merged(name: str, signature: str, read: Callable[[Assigned], Any], sample: str) -> Row:
    """A directive whose property is overwritten each time it is sent, so the assignments are added up here."""
    return Row(name, sample, lambda assigned: (Property(name, signature, read(assigned)),))


def one_as(name: str, read: ReadAs, sample: str, *, since: int = 0) -> Row:
    """As `one`, and `read` names the property."""
    return Row(name, sample, _last(read), since)


def each_as(name: str, read: ReadAs, sample: str, *, since: int = 0) -> Row:
    """As `each`, and `read` names the property."""
    return Row(name, sample, _all(read), since)


def family(make: Callable[..., Row], names: str, *rest: Any, **options: Any) -> tuple[Row, ...]:
    """Rows that differ in nothing but the name."""
    return tuple(make(name, *rest, **options) for name in names.split())


def _property(bus: str, signature: str, read: Read) -> ReadAs:
    return lambda value: (Property(bus, signature, read(value)),)


def _last(read: ReadAs) -> Callable[[Assigned], tuple[Property, ...]]:
    return lambda assigned: read(assigned[-1]) if assigned[-1] else ()


def _all(read: ReadAs) -> Callable[[Assigned], tuple[Property, ...]]:
    return lambda assigned: tuple(found for value in since_reset(assigned) for found in read(value))


def since_reset(assigned: Sequence[str]) -> Sequence[str]:
    """The assignments after the last empty one."""
    resets = [index for index, value in enumerate(assigned) if not value]
    return assigned[resets[-1] + 1 :] if resets else assigned

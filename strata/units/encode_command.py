# SPDX-License-Identifier: MIT
"""How command lines and files to open travel over D-Bus (systemd.service(5), org.freedesktop.systemd1(5))."""

from __future__ import annotations

from typing import NamedTuple

from strata import values
from strata.errors import InvalidArgument
from strata.units import kernel
from strata.units.rows import Property, ReadAs
from strata.units.text import fields, first_word, padded, raw_words, words

_PREFIXES = {"-": "ignore-failure", "+": "privileged", "!": "no-setuid", "!!": "ambient", ":": "no-env-expand"}


class Command(NamedTuple):
    """An ExecStart= line: the program, the words it sees as argv, and the flags that its prefixes mean."""

    path: str
    argv: list[str]
    flags: list[str]


def command(value: str) -> Command:
    """Read a command line with its prefixes `- @ : + !` (systemd.service(5), COMMAND LINES)."""
    flags: list[str] = []
    own_argv0, rest = False, value
    while rest and rest[0] in "-@:+!":
        prefix = "!!" if rest.startswith("!!") else rest[0]
        own_argv0 = own_argv0 or prefix == "@"
        if prefix in _PREFIXES:
            flags.append(_PREFIXES[prefix])
        rest = rest[len(prefix) :]
    if len(set(flags)) != len(flags) or len(set(flags) & {"privileged", "no-setuid", "ambient"}) > 1:
        raise InvalidArgument(f"cannot read {value!r}: its prefixes contradict each other")
    path, rest = first_word(rest) if own_argv0 else ("", rest)
    argv = words(rest)
    if not argv:
        raise InvalidArgument(f"cannot read {value!r}: it names no program")
    if ";" in raw_words(rest):
        raise InvalidArgument(f"cannot read {value!r}: one command to a line, write a second directive instead of ;")
    return Command(path or argv[0], argv, flags)


def service_command(name: str) -> ReadAs:
    """ExecXYZ= of a service: the plain property where it can say it, ExecXYZEx where flags need it."""

    def read(value: str) -> tuple[Property, ...]:
        found = command(value)
        if set(found.flags) <= {"ignore-failure"}:
            return (Property(name, "a(sasb)", [(found.path, found.argv, bool(found.flags))]),)
        return (Property(f"{name}Ex", "a(sasas)", [tuple(found)]),)

    return read


def socket_command(value: str) -> list[tuple[str, list[str], bool]]:
    """ExecXYZ= of a socket, which has no property for the other prefixes."""
    found = command(value)
    if set(found.flags) - {"ignore-failure"}:
        raise InvalidArgument(f"cannot read {value!r}: a transient socket takes no prefix but - and @")
    return [(found.path, found.argv, bool(found.flags))]


_OPEN_FLAGS = {"read-only": 1, "append": 2, "truncate": 4, "graceful": 8}


def open_file(value: str) -> list[tuple[str, str, int]]:
    """path[:fd-name[:options]] (OpenFile=)."""
    path, name, options = padded(fields(value), 3, value)
    flags = kernel.bits(_OPEN_FLAGS, options.replace(",", " "))
    return [(path, name or path.rpartition("/")[2], flags)]


def timeouts(value: str) -> tuple[Property, ...]:
    """TimeoutSec= of a service sets both."""
    span = values.microseconds(value)
    return Property("TimeoutStartUSec", "t", span), Property("TimeoutStopUSec", "t", span)

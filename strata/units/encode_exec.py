# SPDX-License-Identifier: MIT
"""How the other directives of systemd.exec(5) with a layout of their own travel over D-Bus.

The layouts are those of org.freedesktop.systemd1(5); what a value may look like is said in the directive's man page.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from strata import values
from strata.errors import InvalidArgument
from strata.units import kernel
from strata.units.rows import Assigned, Property, ReadAs
from strata.units.text import unescape, words


def strings(value: str) -> list[str]:
    """A list of words."""
    return words(value, escapes=False)


def assignments(value: str) -> list[str]:
    """A list of NAME=value words, C-escapes resolved (Environment=)."""
    found = words(value)
    for word in found:
        if "=" not in word[1:]:
            raise InvalidArgument(f"cannot read {word!r}: expected NAME=value")
    return found


def environment_file(value: str) -> list[tuple[str, bool]]:
    """A path; a leading dash means that the file may be missing."""
    return [(value.removeprefix("-"), value.startswith("-"))]


def set_credential(value: str) -> list[tuple[str, bytes]]:
    """ID:text, with C-escapes."""
    name, data = _named(value, "a value")
    return [(name, unescape(data))]


def set_credential_encrypted(value: str) -> list[tuple[str, bytes]]:
    """ID:base64."""
    name, data = _named(value, "a value in Base64")
    return [(name, decode64(data))]


def load_credential(value: str) -> list[tuple[str, str]]:
    """ID:path; an ID alone is passed on from the manager's own credentials."""
    name, _, path = value.partition(":")
    return [(name, path or name)]


def _named(value: str, what: str) -> tuple[str, str]:
    name, colon, data = value.partition(":")
    if not colon or not name:
        raise InvalidArgument(f"cannot read a credential: expected ID:{what.removeprefix('a ')}")
    return name, data


def decode64(text: str) -> bytes:
    """Base64, white space ignored (StandardInputData=)."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise InvalidArgument(f"cannot read a value in Base64: {error}") from error


def input_text(value: str) -> bytes:
    """One line of standard input, C-escapes resolved (StandardInputText=)."""
    return unescape(value) + b"\n"


def stream(name: str, *, reading: bool) -> ReadAs:
    """StandardInput=, StandardOutput= and StandardError=, whose value decides which property is meant."""
    kinds = {"fd": "FileDescriptorName", "file": "File"}
    if not reading:
        kinds |= {"append": "FileToAppend", "truncate": "FileToTruncate"}

    def read(value: str) -> tuple[Property, ...]:
        kind, colon, target = value.partition(":")
        if colon and kind not in kinds:
            raise InvalidArgument(f"cannot read {value!r}: expected one of {', '.join(f'{each}:…' for each in kinds)}")
        return (Property(name + kinds[kind], "s", target) if colon else Property(name, "s", value),)

    return read


def limit(name: str) -> ReadAs:
    """A resource limit, `both` or `soft:hard` (setrlimit(2)); each half is a property of its own."""
    read_one = _LIMIT_UNITS.get(name, values.unsigned64)

    def read(value: str) -> tuple[Property, ...]:
        soft, _, hard = value.partition(":")
        low, high = (values.INFINITY if half == "infinity" else read_one(half) for half in (soft, hard or soft))
        if low > high:
            raise InvalidArgument(f"cannot read {value!r}: the soft limit is above the hard one")
        return Property(name, "t", high), Property(f"{name}Soft", "t", low)

    return read


def _whole_seconds(text: str) -> int:
    return -(-values.microseconds(text) // 1_000_000)


def _microseconds(text: str) -> int:
    return values.microseconds(text, "us")


def _nice_limit(text: str) -> int:
    # getrlimit(2): RLIMIT_NICE counts 40 (nice -20) down to 1 (nice 19); a sign means a nice level.
    if text.startswith(("+", "-")):
        return 20 - values.Integer(-20, 19, "a nice level")(text)
    return values.Integer(0, 40, "a limit")(text)


_LIMIT_UNITS = {
    "LimitCPU": _whole_seconds,
    "LimitRTTIME": _microseconds,
    "LimitNICE": _nice_limit,
    **dict.fromkeys(
        ("LimitFSIZE", "LimitDATA", "LimitSTACK", "LimitCORE", "LimitRSS", "LimitAS", "LimitMEMLOCK", "LimitMSGQUEUE"),
        values.size,
    ),
}


def nullable(value: str) -> tuple[bool, str]:
    """A security label; a leading dash means that failing to set it is no error."""
    return value.startswith("-"), value.removeprefix("-")


def selection(value: str) -> tuple[bool, list[str]]:
    """An allow list, or with a leading `~` a deny list (SystemCallFilter=, RestrictFileSystems=)."""
    return not value.startswith("~"), words(value.removeprefix("~"), escapes=False)


def families(value: str) -> tuple[bool, list[str]]:
    """As `selection`; `none` allows no family at all (RestrictAddressFamilies=)."""
    return (True, []) if value == "none" else selection(value)


def capability_set(initial: int) -> Callable[[Assigned], int]:
    """Capabilities over several assignments: the first replaces `initial`, further ones add, `~` takes away."""
    return _Merge(initial, kernel.capabilities, 2**64 - 1)


def namespaces(assigned: Assigned) -> int:
    """RestrictNamespaces=: the bits of the namespaces that stay allowed."""
    return _Merge(kernel.ALL_NAMESPACES, _namespace_bits, kernel.ALL_NAMESPACES, empty=kernel.ALL_NAMESPACES)(assigned)


def _namespace_bits(value: str) -> int:
    try:
        return 0 if values.boolean(value) else kernel.ALL_NAMESPACES
    except InvalidArgument:
        return kernel.bits(kernel.NAMESPACE_BITS, value)


class _Merge:
    """Adds bit sets up as systemd's own parser of unit files does (config_parse_capability_set)."""

    def __init__(self, initial: int, read: Callable[[str], int], everything: int, empty: int = 0) -> None:
        self.initial, self.read, self.everything, self.empty = initial, read, everything, empty

    def __call__(self, assigned: Assigned) -> int:
        total = self.initial
        for value in assigned:
            total = self._merged(total, value)
        return total

    def _merged(self, total: int, value: str) -> int:
        if not value:
            return self.empty
        inverted = value.startswith("~")
        found = self.read(value.removeprefix("~"))
        if inverted:
            return total & ~found & self.everything if found else self.everything
        return found if total == self.initial else total | found


def secure_bits(assigned: Assigned) -> int:
    """SecureBits=: every assignment adds."""
    total = 0
    for value in assigned:
        total = total | kernel.bits(kernel.SECURE_BITS, value) if value else 0
    return total


def affinity(value: str) -> tuple[Property, ...]:
    """CPUAffinity=: processors, or `numa` for those of NUMAMask=."""
    if value == "numa":
        return (Property("CPUAffinityFromNUMA", "b", True),)
    return (Property("CPUAffinity", "ay", kernel.cpu_set(value)),)


def numa_mask(value: str) -> bytes:
    """NUMAMask=: nodes by number."""
    if value == "all":
        raise InvalidArgument("cannot use all: only the machine knows its nodes; name them, such as 0-1")
    return kernel.cpu_set(value)


def log_pattern(value: str) -> list[tuple[bool, str]]:
    """A regular expression that records must match, or with `~` must not (LogFilterPatterns=)."""
    return [(not value.startswith("~"), value.removeprefix("~"))]

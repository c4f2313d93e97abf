# SPDX-License-Identifier: MIT
"""How the directives of systemd.resource-control(5) and systemd.unit(5) travel over D-Bus.

The layouts are those of org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import ipaddress
import re
import socket

from strata import values
from strata.errors import InvalidArgument
from strata.units.rows import Property, ReadAs
from strata.units.text import words

_ADDRESSES = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}


def scale(text: str) -> int:
    """A percentage as a share of 2³²-1."""
    return (values.permyriad(text) * (2**32 - 1) + 5000) // 10_000


def memory(name: str) -> ReadAs:
    """Bytes, `infinity`, or a percentage of the machine's memory, which is a property of its own."""

    def read(value: str) -> tuple[Property, ...]:
        if value.endswith("%"):
            return (Property(f"{name}Scale", "u", scale(value)),)
        return (Property(name, "t", values.size(value)),)

    return read


def tasks(value: str) -> tuple[Property, ...]:
    """TasksMax=: a number, `infinity`, or a percentage of the machine's maximum."""
    if value.endswith("%"):
        return (Property("TasksMaxScale", "u", scale(value)),)
    return (Property("TasksMax", "t", values.INFINITY if value == "infinity" else values.unsigned64(value)),)


def cpu_weight(text: str) -> int:
    """1 to 10000, or `idle`."""
    return 0 if text == "idle" else weight(text)


weight = values.Integer(1, 10_000, "a weight")
cpu_shares = values.Integer(2, 262_144, "shares")
block_weight = values.Integer(10, 1000, "a weight")


def cpu_quota(text: str) -> int:
    """A percentage of one CPU as microseconds per second."""
    share = values.permyriad(text, limit=values.UNBOUNDED_SHARE)
    if share == 0:
        raise InvalidArgument("cannot read 0%: a CPU quota must be above zero")
    return share * 100


def delegate(value: str) -> tuple[Property, ...]:
    """Delegate=: yes, no, or the controllers to delegate."""
    try:
        return (Property("Delegate", "b", values.boolean(value)),)
    except InvalidArgument:
        return (Property("DelegateControllers", "as", words(value, escapes=False)),)


def device(value: str) -> list[tuple[str, str]]:
    """A device node or class and the rights r, w, m."""
    path, _, rights = value.partition(" ")
    if not set(rights.strip()) <= set("rwm"):
        raise InvalidArgument(f"cannot read {value!r}: the rights are of r, w and m")
    return [(path, rights.strip())]


def _device_and(value: str) -> tuple[str, str]:
    found = words(value, escapes=False)
    if len(found) != 2:
        raise InvalidArgument(f"cannot read {value!r}: expected a device and a value")
    return found[0], found[1]


def device_bandwidth(value: str) -> list[tuple[str, int]]:
    """A device and bytes (or operations) a second; suffixes are powers of 1000."""
    path, amount = _device_and(value)
    return [(path, values.size(amount, 1000))]


def device_weight(value: str) -> list[tuple[str, int]]:
    """A device and a weight."""
    path, amount = _device_and(value)
    return [(path, values.unsigned64(amount))]


def device_latency(value: str) -> list[tuple[str, int]]:
    """A device and a time span."""
    path, amount = _device_and(value)
    return [(path, values.microseconds(amount))]


def addresses(value: str) -> list[tuple[int, bytes, int]]:
    """Addresses with prefixes, or any, localhost, link-local, multicast."""
    return [_address(text) for word in words(value, escapes=False) for text in _ADDRESSES.get(word, (word,))]


def _address(text: str) -> tuple[int, bytes, int]:
    try:
        network = ipaddress.ip_interface(text).network
    except ValueError as error:
        raise InvalidArgument(f"cannot read {text!r}: expected an IP address with an optional prefix length") from error
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    return int(family), network.network_address.packed, network.prefixlen


_BIND = re.compile(r"(?:(ipv4|ipv6)(?::|$))?(?:(tcp|udp)(?::|$))?(?:(any)|([0-9]{1,5})(?:-([0-9]{1,5}))?)?", re.ASCII)
_FAMILIES = {"ipv4": int(socket.AF_INET), "ipv6": int(socket.AF_INET6)}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}


def socket_bind(value: str) -> list[tuple[int, int, int, int]]:
    """[ipv4:|ipv6:][tcp:|udp:]port[-port] or any (SocketBindAllow=)."""
    match = _BIND.fullmatch(value)
    low = int(match[4] or 0) if match else -1
    high = int(match[5] or low) if match else -1
    if match is None or value.endswith(":") or not 0 <= low <= high <= 65535 or (match[4] and low == 0):
        raise InvalidArgument(f"cannot read {value!r}: expected such as any, ipv4:tcp:8000-8080 or 53")
    ports = high - low + 1 if match[4] else 0
    return [(_FAMILIES.get(match[1], 0), int(_PROTOCOLS.get(match[2], 0)), ports, low)]


def bpf_program(value: str) -> list[tuple[str, str]]:
    """type:path of a pinned program."""
    kind, colon, path = value.partition(":")
    if not colon:
        raise InvalidArgument(f"cannot read {value!r}: expected type:path")
    return [(kind, path)]


def condition(name: str) -> ReadAs:
    """ConditionXYZ= and AssertXYZ=: `|` makes it one of several that may trigger, `!` negates it."""
    bus = "Conditions" if name.startswith("Condition") else "Asserts"

    def read(value: str) -> tuple[Property, ...]:
        triggers, rest = value.startswith("|"), value.removeprefix("|").lstrip(" \t")
        negated, rest = rest.startswith("!"), rest.removeprefix("!").lstrip(" \t")
        return (Property(bus, "a(sbbs)", [(name, triggers, negated, rest)]),)

    return read


def listen(name: str) -> ReadAs:
    """ListenXYZ= of a socket."""
    return lambda value: (Property("Listen", "a(ss)", [(name.removeprefix("Listen"), value)]),)


def exit_status(text: str) -> int:
    """An exit status of 0 to 255."""
    return values.Integer(0, 255, "an exit status")(text)

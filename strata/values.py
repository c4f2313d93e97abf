# SPDX-License-Identifier: MIT
"""The values that unit files and manifests are made of: time spans, sizes, shares, modes, booleans.

Each function reads one kind as systemd itself does (systemd.time(7), systemd.syntax(7), systemd.resource-control(5))
and raises InvalidArgument with what was expected.
"""

from __future__ import annotations

import re
from decimal import Decimal

from strata.errors import InvalidArgument

INFINITY = 2**64 - 1
LONGEST = 128
"""Characters of a value: to make a number of a million digits takes a minute."""

_SECOND = 1_000_000
_UNITS: dict[str, int | Decimal] = {
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), _SECOND),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60 * _SECOND),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600 * _SECOND),
    **dict.fromkeys(("days", "day", "d"), 86400 * _SECOND),
    **dict.fromkeys(("weeks", "week", "w"), 7 * 86400 * _SECOND),
    **dict.fromkeys(("months", "month", "M"), 2_629_800 * _SECOND),
    **dict.fromkeys(("years", "year", "y"), 31_557_600 * _SECOND),
    **dict.fromkeys(("msec", "ms"), 1000),
    **dict.fromkeys(("usec", "us", "µs", "μs"), 1),
    **dict.fromkeys(("nsec", "ns"), Decimal("0.001")),
}
_SPAN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-zµμ]*)\s*", re.ASCII)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([BKMGTPE]?)", re.ASCII)
_SHARE = re.compile(r"([0-9]+)(?:\.([0-9]{1,2}))?%", re.ASCII)
_TRUE = frozenset(("1", "yes", "y", "true", "t", "on"))
_FALSE = frozenset(("0", "no", "n", "false", "f", "off"))


def _refuse(value: str, expected: str) -> InvalidArgument:
    shown = value if len(value) <= LONGEST else value[:LONGEST] + "…"
    return InvalidArgument(f"cannot read {shown!r}: expected {expected}")


def microseconds(text: str, unit: str = "") -> int:
    """A time span such as `5s`, `1min 30s`, `500ms`, `infinity`. A number without a unit counts `unit` (seconds)."""
    if text.strip() == "infinity":
        return INFINITY
    return int(_spans(text, unit))


def nanoseconds(text: str) -> int:
    """A time span whose bare numbers are nanoseconds (TimerSlackNSec=, systemd.exec(5))."""
    if text.strip() == "infinity":
        return INFINITY
    return int(_spans(text, "ns") * 1000)


def _spans(text: str, unit: str) -> Decimal:
    total, position = Decimal(0), 0
    if len(text) > LONGEST:
        raise _refuse(text, "a time span such as 5s, 1min 30s or 500ms")
    while match := _SPAN.match(text, position):
        factor = _UNITS.get(match[2] or unit)
        if factor is None:
            raise _refuse(text, "a time span such as 5s, 1min 30s or 500ms")
        total += Decimal(match[1]) * factor
        position = match.end()
    if position == 0 or position != len(text) or total >= INFINITY:
        raise _refuse(text, "a time span such as 5s, 1min 30s or 500ms")
    return total


def size(text: str, base: int = 1024) -> int:
    """Bytes such as `512M`, `1.5G`, `4096`; suffixes are powers of `base`. `infinity` is the largest number."""
    if text == "infinity":
        return INFINITY
    match = _SIZE.fullmatch(text)
    if match is None or len(text) > LONGEST:
        raise _refuse(text, "a size such as 4096, 512M or 1.5G")
    value = int(Decimal(match[1]) * base ** "BKMGTPE".index(match[2] or "B"))
    if value >= INFINITY:
        raise _refuse(text, "a size below 16 E")
    return value


UNBOUNDED_SHARE = 2**31 - 1
"""In hundredths of a percent: the largest that systemd reads (parse_permyriad_unbounded())."""


def permyriad(text: str, limit: int = 10_000) -> int:
    """A percentage with up to two decimals, in hundredths of a percent: `12.5%` is 1250."""
    match = _SHARE.fullmatch(text)
    if match is None or len(text) > LONGEST:
        raise _refuse(text, "a percentage such as 50%")
    value = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if value > limit:
        raise _refuse(text, f"a percentage of at most {limit // 100}%")
    return value


def boolean(text: str) -> bool:
    """`yes`, `no`, `true`, `off`, … (systemd.syntax(7))."""
    word = text.lower()
    if word not in _TRUE and word not in _FALSE:
        raise _refuse(text, "yes or no")
    return word in _TRUE


def mode(text: str) -> int:
    """An access mode in octal, `0666`."""
    if not re.fullmatch(r"[0-7]{1,5}", text, re.ASCII) or int(text, 8) > 0o7777:
        raise _refuse(text, "an access mode in octal such as 0666")
    return int(text, 8)


class Integer:
    """Reads a whole number within bounds."""

    def __init__(self, low: int, high: int, what: str) -> None:
        self.low, self.high, self.what = low, high, what

    def __call__(self, text: str) -> int:
        try:
            value = int(text, 0) if re.fullmatch(r"[+-]?[0-9a-fA-FxXob]{1,128}", text, re.ASCII) else None
        except ValueError:
            value = int(text, 8) if re.fullmatch(r"0[0-7]{1,127}", text) else None
        if value is None or not self.low <= value <= self.high:
            raise _refuse(text, f"{self.what} from {self.low} to {self.high}")
        return value


unsigned32 = Integer(0, 2**32 - 1, "a number")
unsigned64 = Integer(0, 2**64 - 1, "a number")
signed32 = Integer(-(2**31), 2**31 - 1, "a number")
signed64 = Integer(-(2**63), 2**63 - 1, "a number")

# SPDX-License-Identifier: MIT
"""Times and sizes as a person reads them, and time spans as a person types them."""

from __future__ import annotations

import itertools
import time

from strata import values

_SPANS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_SIZES = "BKMGTP"


def duration(seconds: float) -> str:
    """The two largest units: `3d 4h`, `2m 5s`, `12s`. A negative one (a clock that jumped) reads as 0s."""
    left = max(0, int(seconds))
    for (size, name), (below, lesser) in itertools.pairwise(_SPANS):
        if left >= size:
            rest = left % size // below
            return f"{left // size}{name} {rest}{lesser}" if rest else f"{left // size}{name}"
    return f"{left}s"


def size(count: int | None) -> str:
    """Bytes in powers of 1024 with one decimal, `21.4M`; `-` when unknown."""
    if count is None:
        return "-"
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_SIZES) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}{_SIZES[unit]}" if unit else f"{count}B"


def clock(unix: float) -> str:
    """Local time to the second, `2026-11-22 09:30:05`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix))


def span_seconds(text: str) -> float:
    """Seconds of a span such as `90`, `90s`, `1h 30min`, `500ms` (systemd.time(7)). Raises InvalidArgument."""
    return values.microseconds(text) / 1_000_000

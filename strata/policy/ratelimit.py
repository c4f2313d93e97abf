# SPDX-License-Identifier: MIT
"""Rate limits: `50rps` read strictly, and one token bucket for each limited capability (spec 1.9)."""

from __future__ import annotations

import collections
import functools
import math
import re
import time
from collections.abc import Callable, Iterable

from strata.errors import InvalidArgument, ResourceExhausted
from strata.policy.capability import Claims

MOST_BUCKETS = 65_536
_RATE = re.compile(r" *(\+?(?:[0-9]{1,32}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})(?:[eE][+-]?[0-9]{1,4})?)rps *")


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> float:
    """Calls per second. Raises InvalidArgument for anything but a positive, finite decimal number before `rps`."""
    found = _RATE.fullmatch(text)
    rate = float(found[1]) if found else math.nan
    if not 0 < rate < math.inf:
        raise InvalidArgument(f'unparseable rate limit: "{text[:64]}" (expected format: "50rps")', param="rate_limit")
    return rate


class _Bucket:
    __slots__ = ("at", "capacity", "level", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate, self.at = rate, now
        # At least one: a rate below 1 admits a call, then one per 1/rate seconds (vector 051).
        self.capacity = self.level = max(1.0, rate)

    def fill(self, now: float) -> float:
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level


class Buckets:
    """The buckets of one process, by cap_id: at most `most`, the least recently used making room."""

    def __init__(self, most: int = MOST_BUCKETS, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds and never runs backwards."""
        self._most, self._clock = most, clock
        self._buckets: collections.OrderedDict[str, _Bucket] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def charge(self, claims: Claims) -> None:
        """One call on the capability's own allowance and on each limited ancestor's: on all of them or on none.

        Raises InvalidArgument for a limit that cannot be read (fail closed), ResourceExhausted when one is used up.
        """
        limits = claims.constraints.shared_limits
        if claims.constraints.rate_limit:
            limits = (*limits, (claims.jti, claims.constraints.rate_limit))
        if not limits:
            return
        rates = [(cap_id, parse(rate)) for cap_id, rate in limits]
        now = self._clock()
        drawn = [self._bucket(cap_id, rate, now) for cap_id, rate in rates]
        for bucket in drawn:
            if bucket.fill(now) < 1:
                wait = (1 - bucket.level) / bucket.rate
                raise ResourceExhausted("rate limit exceeded", retry_after_seconds=round(min(wait, 1e9), 3))
        for bucket in drawn:
            bucket.level -= 1

    def drop(self, cap_ids: Iterable[str]) -> None:
        """Forget the buckets of revoked capabilities."""
        for cap_id in cap_ids:
            self._buckets.pop(cap_id, None)

    def _bucket(self, cap_id: str, rate: float, now: float) -> _Bucket:
        bucket = self._buckets.get(cap_id)
        if bucket is None:
            bucket = self._buckets[cap_id] = _Bucket(rate, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(cap_id)
        return bucket

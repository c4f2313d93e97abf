# SPDX-License-Identifier: MIT
"""What was done under the load: how long each operation took, and each answer that was not the one that was wanted."""

from __future__ import annotations

import bisect
import contextlib
import statistics
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import grpc
from websockets.exceptions import WebSocketException

from strata.errors import StrataError

DISTURBED = frozenset({"UNAVAILABLE", "BROKEN", "NOT_FOUND"})
"""What may be answered while a part of Strata is being restarted (docs/design.md, "Restart and upgrade"): handles of fs
end with it."""


class Refused(Exception):
    """An answer over HTTP that is an error."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


class Interrupted(Exception):
    """What the documents say a restart ends: a command in a shell, a terminal that is looked at."""


class Wrong(Exception):
    """An answer that is no error and not what it should be."""


class Trouble(NamedTuple):
    """An error: when, of which operation, its kind and its sentence."""

    at: float
    operation: str
    kind: str
    sentence: str
    expected: bool


class Book:
    """Shared by all that make load. Moments are seconds since `begin`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._disturbances: list[list[float]] = []
        self.taken: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.ends: list[float] = []
        self.troubles: list[Trouble] = []

    def begin(self) -> None:
        """Forget what was before: the load begins now."""
        with self._lock:
            self._began = time.monotonic()
            self.taken.clear()
            self.ends.clear()
            self.troubles.clear()
            self._disturbances.clear()

    def now(self) -> float:
        return time.monotonic() - self._began

    @contextlib.contextmanager
    def timed(self, operation: str) -> Iterator[None]:
        """One operation; what it raises passes on and is not counted as done."""
        start = self.now()
        yield
        end = self.now()
        with self._lock:
            self.taken[operation].append((end, 1000 * (end - start)))
            self.ends.append(end)

    @contextlib.contextmanager
    def disturbance(self, seconds_after: float = 5.0) -> Iterator[None]:
        """Something is being restarted meanwhile."""
        span = [self.now(), float("inf")]
        with self._lock:
            self._disturbances.append(span)
        try:
            yield
        finally:
            span[1] = self.now() + seconds_after

    def trouble(self, operation: str, since: float, error: BaseException, expected: frozenset[str]) -> None:
        """Write an error down, and whether it was one that may be."""
        kind = kind_of(error)
        now = self.now()
        disturbed = any(begin <= now and since <= end for begin, end in self._disturbances)
        fine = kind in expected or (disturbed and (kind in DISTURBED or isinstance(error, Interrupted)))
        with self._lock:
            self.troubles.append(Trouble(now, operation, kind, f"{error}"[:300], fine))

    def done(self, until: float) -> int:
        """How many operations had ended by that moment."""
        return bisect.bisect_right(self.ends, until)

    def unexpected(self) -> list[Trouble]:
        return [one for one in self.troubles if not one.expected]

    def kinds(self) -> Counter[tuple[str, str, bool]]:
        """Errors counted by operation, kind and whether they were expected."""
        return Counter((one.operation, one.kind, one.expected) for one in self.troubles)


def kind_of(error: BaseException) -> str:
    """Strata's name of an error, or BROKEN for a connection that ended, or the name of its class."""
    if isinstance(error, (StrataError, Refused)):
        return error.name
    if isinstance(error, grpc.RpcError):
        return str(error.code().name)  # type: ignore[attr-defined]
    if isinstance(error, (OSError, EOFError, WebSocketException)) or type(error).__module__ == "http.client":
        return "BROKEN"
    return type(error).__name__


class Latency(NamedTuple):
    """Milliseconds of an operation: all of it, and the medians of the first and the last third of the judged time."""

    operation: str
    count: int
    p50: float
    p99: float
    early: float
    late: float


def latency(operation: str, taken: list[tuple[float, float]], span: tuple[float, float]) -> Latency | None:
    """None with too few to say anything."""
    start, end = span
    third = (end - start) / 3
    judged = [(at, took) for at, took in taken if start <= at <= end]
    early = [took for at, took in judged if at < start + third]
    late = [took for at, took in judged if at >= end - third]
    if min(len(early), len(late)) < 10:
        return None
    times = sorted(took for _, took in judged)
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    return Latency(
        operation, len(times), statistics.median(times), p99, statistics.median(early), statistics.median(late)
    )


def percentiles(taken: list[tuple[float, float]], width: float) -> list[tuple[float, float, float]]:
    """(moment, p50, p99) of each window of `width` seconds."""
    held: dict[int, list[float]] = defaultdict(list)
    for at, took in taken:
        held[int(at / width)].append(took)
    found = []
    for number, times in sorted(held.items()):
        times.sort()
        found.append((number * width, statistics.median(times), times[min(len(times) - 1, int(0.99 * len(times)))]))
    return found

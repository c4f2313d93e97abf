# SPDX-License-Identifier: MIT
"""What every peer has to do, in turn with Strata (A B A B …) in one process."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple

from benchmarks.peers import processes
from benchmarks.peers.contract import Box, Peer, Sandbox, Tools
from benchmarks.peers.started import PATIENCE_SECONDS

BULK, MANY, IDLE, CHILDREN = 67_108_864, 100, 20, 8
GONE_SECONDS = 5.0
REST_SECONDS = 0.1
"""Before a sandbox is opened cold. A move between cgroups makes those of the next 20 ms or so cheap, for everybody:
some 10 ms less for who comes right behind another (docs/performance.md)."""

_NUMBERS = itertools.count(1)

# They stay: what bwrap starts with --die-with-parent ends with the thread that started it (prctl(2), PR_SET_PDEATHSIG).
_THREADS = ThreadPoolExecutor(MANY)

Measure = Callable[[], float]


class Work(NamedTuple):
    """One of them. Pairs are taken until `seconds` are over, at least and at most so many."""

    name: str
    what: str
    unit: str
    seconds: float
    least: int
    most: int
    measure: Callable[[Runner], contextlib.AbstractContextManager[Measure]]
    fits: Callable[[Peer], bool] = lambda _: True


class Pairs(NamedTuple):
    """What was measured, a pair a round, in the work's unit; and what is to be said beside it."""

    ours: list[float]
    theirs: list[float]
    remark: str


class Runner:
    """One peer's sandboxes."""

    def __init__(self, peer: Peer, tools: Tools) -> None:
        self.peer, self.tools = peer, tools
        self.remarks: set[str] = set()

    def open(self) -> Sandbox:
        name = f"p{next(_NUMBERS)}"
        return self.peer.open(Box(name, self.tools.scratch / name, self.tools))


@contextlib.contextmanager
def opening(runner: Runner) -> Iterator[Measure]:
    """Until the first output of `echo` has been read, on a machine at rest."""

    def measure() -> float:
        time.sleep(REST_SECONDS)
        return _opened(runner)

    yield measure


@contextlib.contextmanager
def reopening(runner: Runner) -> Iterator[Measure]:
    """The same, at once after the other's."""
    yield lambda: _opened(runner)


@contextlib.contextmanager
def executing(runner: Runner) -> Iterator[Measure]:
    with contextlib.closing(runner.open()) as sandbox:
        yield lambda: _timed(sandbox.execute)


@contextlib.contextmanager
def lining(runner: Runner) -> Iterator[Measure]:
    with contextlib.closing(runner.open()) as sandbox:
        yield lambda: _timed(sandbox.line)


@contextlib.contextmanager
def bulk(runner: Runner) -> Iterator[Measure]:
    with contextlib.closing(runner.open()) as sandbox:
        yield lambda: _timed(lambda: sandbox.bulk(BULK))


@contextlib.contextmanager
def closing(runner: Runner) -> Iterator[Measure]:
    """With children in it, until no process, mount or cgroup of it is there."""

    def measure() -> float:
        before = processes.trace()
        sandbox = runner.open()
        sandbox.start_children(CHILDREN)
        start = time.perf_counter()
        sandbox.close()
        seconds = time.perf_counter() - start
        if processes.trace().more_than(before):
            left = processes.until_gone(before, GONE_SECONDS)
            seconds = time.perf_counter() - start
            runner.remarks.add(_remark(left))
        return seconds

    # One that stays: what is made for the first sandbox alone, and kept for the next, is not left over.
    with contextlib.closing(runner.open()):
        yield measure


def _remark(left: int) -> str:
    if left:
        return f"processes, mounts or cgroups were left {GONE_SECONDS:g} s after"
    return "not all gone when its end returned; timed until it was"


@contextlib.contextmanager
def idling(runner: Runner) -> Iterator[Measure]:
    """Memory (PSS) of each of so many, after the first output."""

    def measure() -> float:
        processes.settle()  # what was closed before may still be on its way out
        before = _memory(runner)
        opened = _at_once(runner, IDLE)
        processes.settle()
        after = _memory(runner)
        _close(opened)
        return (after - before) / IDLE

    yield measure


@contextlib.contextmanager
def bursting(runner: Runner) -> Iterator[Measure]:
    """So many asked for in one moment, each by a thread of its own, until the last is there."""

    def measure() -> float:
        start = time.perf_counter()
        opened = _at_once(runner, MANY)
        seconds = time.perf_counter() - start
        _close(opened)
        return seconds

    yield measure


WORKS = (
    Work("open", "a sandbox, cold, until its first output of echo has been read", "s", 4.0, 5, 20, opening),
    Work("again", "the same at once after another one was closed", "s", 2.5, 5, 20, reopening),
    Work("exec", "echo in an open sandbox", "s", 1.5, 5, 60, executing),
    Work("line", "the same by a line to a shell that waits on a pipe", "s", 0.3, 5, 60, lining, lambda p: p.has_line),
    Work("bulk", f"{BULK >> 20} MiB of output", "s", 1.5, 3, 9, bulk),
    Work("close", f"with {CHILDREN} children, until nothing is left", "s", 2.0, 3, 10, closing, lambda p: p.stays),
    Work("idle", f"memory (PSS) of each of {IDLE} that wait", "B", 3.0, 1, 3, idling, lambda p: p.stays),
    Work("burst", f"{MANY} asked for at once, until the last is there", "s", 4.0, 1, 3, bursting),
)


def pairs(work: Work, ours: Runner, theirs: Runner) -> Pairs:
    """In turn, after one round that warms up where it costs little. Raises what a peer raises."""
    taken: tuple[list[float], list[float]] = ([], [])
    with work.measure(ours) as here, work.measure(theirs) as there:
        start = time.perf_counter()
        if work.least > 1:
            here()
            there()
        while len(taken[0]) < work.least or (len(taken[0]) < work.most and time.perf_counter() - start < work.seconds):
            taken[0].append(here())
            taken[1].append(there())
    return Pairs(*taken, "; ".join(sorted(theirs.remarks)))


def _opened(runner: Runner) -> float:
    start = time.perf_counter()
    sandbox = runner.open()
    seconds = time.perf_counter() - start
    sandbox.close()
    return seconds


def _timed(action: Callable[[], None]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _memory(runner: Runner) -> int:
    """Of Strata, all of its services too: what they need for a session is part of it."""
    is_strata = runner.peer.name.startswith("Strata")
    return processes.pss(processes.of_units("strata-") if is_strata else processes.all_of_them())


def _at_once(runner: Runner, count: int) -> list[Sandbox]:
    """All of them open. Raises RuntimeError when one is not, after closing those that are."""
    futures = [_THREADS.submit(runner.open) for _ in range(count)]
    wait(futures)
    opened = [future.result() for future in futures if not future.exception()]
    if failures := [future.exception() for future in futures if future.exception()]:
        _close(opened)
        late = any(isinstance(failure, TimeoutError) for failure in failures)
        why = f"within {PATIENCE_SECONDS:g} s" if late else f"({failures[0]})"
        raise RuntimeError(f"only {len(opened)} of {count} were there {why}")
    return opened


def _close(opened: list[Sandbox]) -> None:
    for done in [_THREADS.submit(sandbox.close) for sandbox in opened]:
        done.result()

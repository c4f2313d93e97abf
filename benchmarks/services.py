# SPDX-License-Identifier: MIT
"""Supervised services: Strata beside systemd alone, supervisord, circus and s6, each with the same program and the
least delay before a restart that it allows."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.fleet import Fleet, fleet
from benchmarks.harness import Figure, Samples, ratio, unmeasured
from benchmarks.place import Place
from benchmarks.process_managers.circus import Circus
from benchmarks.process_managers.contract import Missing, ProcessManager
from benchmarks.process_managers.plain import Plain
from benchmarks.process_managers.s6 import S6
from benchmarks.process_managers.strata import Strata
from benchmarks.process_managers.supervisord import Supervisord

# In this order: the systemd that Strata runs on is measured without what Strata has it do, and then with it.
MANAGERS: dict[str, Callable[[Place, Fleet, Path], ProcessManager]] = {
    "systemd": Plain,
    "strata": Strata,
    "supervisord": Supervisord,
    "circus": Circus,
    "s6": S6,
}
OURS = "strata"
MANY, ROUNDS, PROBE = 50, 20, "probe"
IDLE_SECONDS, SETTLE_SECONDS = 10.0, 3.0
OLD_ENOUGH_SECONDS = 1.2
"""Some wait longer before they restart what has lived for less than a second."""

WHATS = {
    "start": "asked until it runs, over Strata's",
    "crash": "SIGKILL of its process until another runs, over Strata's",
    "memory": f"PSS of the manager for each of {MANY} services but the first, over Strata's",
    "manager": "PSS of the manager with one service, over Strata's",
    "idle": f"processor time of the manager with {MANY} services that do nothing, of one processor",
}


class Candidate(NamedTuple):
    """One that can be measured here, and the ear for its services."""

    manager: ProcessManager
    fleet: Fleet


class Weight(NamedTuple):
    """PSS of a manager in KiB: with one service, and for each further one."""

    alone: float
    each: float


def figures(place: Place) -> Iterator[Figure]:
    """In turn: each round has one start and one crash of each."""
    names = [PROBE, *(f"n{number}" for number in range(1, MANY))]
    with contextlib.ExitStack() as stack:
        here, missing = _candidates(place, stack)
        weights = {name: _weigh(one, names) for name, one in here.items()}
        busy = _idle(here)
        starts, crashes = _rounds(here)
    for kind, samples in (("start", starts), ("crash", crashes)):
        yield from _times(kind, samples, here, missing)
    yield from _weights(weights, missing)
    for name in MANAGERS:
        if name in busy:
            yield Figure(f"services idle: {name}", WHATS["idle"], busy[name], "%")
        else:
            yield unmeasured(f"services idle: {name}", WHATS["idle"], missing[name])


def _candidates(place: Place, stack: contextlib.ExitStack) -> tuple[dict[str, Candidate], dict[str, str]]:
    """Those that run here, and why the others do not."""
    here, missing = {}, {}
    for name, kind in MANAGERS.items():
        ear = stack.enter_context(fleet(place.scratch))
        directory = ear.program.parent / "own"
        directory.mkdir(mode=0o755)
        try:
            manager = kind(place, ear, directory)
        except Missing as reason:
            missing[name] = str(reason)
            continue
        stack.callback(manager.close)
        here[name] = Candidate(manager, ear)
        print(f"  {name} {manager.version}: restarts after {manager.delay}; {manager.asked}", file=sys.stderr)
    return here, missing


def _weigh(one: Candidate, names: Sequence[str]) -> Weight:
    sizes = []
    for count in (1, len(names)):
        one.fleet.forget()
        one.manager.declare(names[:count])
        _until_running(one, names[:count])
        time.sleep(SETTLE_SECONDS)
        sizes.append(sum(_pss(pid) for pid in one.manager.managers()))
    return Weight(sizes[0], (sizes[1] - sizes[0]) / (len(names) - 1))


def _until_running(one: Candidate, names: Sequence[str]) -> None:
    """By their processes: of some managers the first has been running since before."""
    missing = set(names) - one.fleet.pids().keys()
    if missing:
        one.fleet.wait(*missing)


def _idle(here: Mapping[str, Candidate]) -> dict[str, float]:
    """All at the same time: per cent of one processor."""
    pids = {name: one.manager.managers() for name, one in here.items()}
    time.sleep(SETTLE_SECONDS)
    before, start = {name: sum(map(_seconds, each)) for name, each in pids.items()}, time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, seconds = {name: sum(map(_seconds, each)) for name, each in pids.items()}, time.monotonic() - start
    return {name: 100 * (after[name] - before[name]) / seconds for name in pids}


def _rounds(here: Mapping[str, Candidate]) -> tuple[Samples, Samples]:
    """Times of a start and of a crash; the first round warms up and is not counted."""
    starts: dict[str, list[float]] = {name: [] for name in here}
    crashes: dict[str, list[float]] = {name: [] for name in here}
    for turn in range(ROUNDS + 1):
        for name, one in here.items():
            one.manager.stop(PROBE)
            starts[name] += [_start(one)][: bool(turn)]
        time.sleep(OLD_ENOUGH_SECONDS)
        for name, one in here.items():
            crashes[name] += [_crash(one)][: bool(turn)]
        time.sleep(OLD_ENOUGH_SECONDS)
    return Samples(starts), Samples(crashes)


def _start(one: Candidate) -> float:
    one.fleet.forget()
    start = time.perf_counter()
    answered = one.manager.start(PROBE)
    one.fleet.wait(PROBE)
    seconds = time.perf_counter() - start
    answered()
    return seconds


def _crash(one: Candidate) -> float:
    pid = one.fleet.pids()[PROBE]
    one.fleet.forget()
    start = time.perf_counter()
    one.fleet.kill(pid)
    one.fleet.wait(PROBE)
    return time.perf_counter() - start


def _times(kind: str, samples: Samples, here: Mapping[str, Candidate], missing: Mapping[str, str]) -> Iterator[Figure]:
    ours = f"strata {samples.median(OURS) * 1e3:.1f} ms"
    for name in MANAGERS:
        if name == OURS:
            continue
        title = f"service {kind}: {name}"
        if name not in here:
            yield unmeasured(title, WHATS[kind], missing[name])
            continue
        manager = here[name].manager
        how = manager.asked if kind == "start" else manager.delay
        note = f"{name} {manager.version} {samples.median(name) * 1e3:.1f} ms, {ours}; {how}"
        yield ratio(title, WHATS[kind], samples.ratios(name, lambda row: row[OURS]), note=note)


def _weights(weights: Mapping[str, Weight], missing: Mapping[str, str]) -> Iterator[Figure]:
    ours = weights[OURS]
    for name in MANAGERS:
        if name == OURS:
            continue
        for kind, field, unit in (("memory", "each", "KiB"), ("manager", "alone", "KiB")):
            title = f"service {kind}: {name}"
            if name not in weights:
                yield unmeasured(title, WHATS[kind], missing[name])
                continue
            mine, theirs = getattr(ours, field), getattr(weights[name], field)
            note = f"{name} {theirs:.0f} {unit}, strata {mine:.0f} {unit}"
            yield Figure(title, WHATS[kind], theirs / mine, "×", note=note)


def _pss(pid: int) -> float:
    """In KiB. A process that has just ended has none."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
        return next((float(row[1]) for row in rows if row[0] == "Pss:"), 0.0)
    return 0.0


def _seconds(pid: int) -> float:
    """On a processor, all threads."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9

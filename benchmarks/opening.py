# SPDX-License-Identifier: MIT
"""Sessions that begin and end: one at a time beside a bare bubblewrap, a hundred at once, with children to kill."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator

from benchmarks.door import at_once, is_success
from benchmarks.guests import OWNER, Guests, guests
from benchmarks.harness import Action, Figure, Samples, quartiles, ratio, timed, unmeasured
from benchmarks.place import Place

ROUNDS, BLOCK, MANY, CHILDREN, CLOSINGS = 12, 3, 100, 50, 10

# The namespaces that a session has, the least of a root in them, and a program that ends at once.
_BARE = (
    *("bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"),
    *("--unshare-cgroup", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "/bin/true"),
)


def figures(place: Place) -> Iterator[Figure]:
    """Over HTTP, each figure with its absolute time."""
    with guests(place) as here:
        yield from create(here)
        yield from create_many(here)
        yield from close_with_children(here)


def create(here: Guests) -> Iterator[Figure]:
    """Each session is another one, and gone before the next block."""
    program = shutil.which("bwrap")
    if not program:
        yield unmeasured("create", "a session over HTTP against one bare bwrap", "bwrap is not installed")
        return
    here.open("warm")
    taken: dict[str, list[float]] = {"create": [], "close": [], "bwrap": []}
    for turn in range(ROUNDS + 1):
        names = [f"one-{turn}-{number}" for number in range(BLOCK)]
        times = {
            "create": [timed(_asking(here, here.opening(name))) for name in names],
            "bwrap": [timed(lambda: _run(program)) for _ in names],
            "close": [timed(_asking(here, here.closing(name))) for name in names],
        }
        if turn:
            for what, each in times.items():
                taken[what].append(statistics.median(each))
    here.close("warm")
    samples = Samples(taken)
    note = ", ".join(f"{what} {samples.median(what) * 1e3:.1f} ms" for what in taken)
    ratios = samples.ratios("create", lambda row: row["bwrap"])
    yield ratio("create", "a session over HTTP against one bare bwrap run", ratios, at_most=3.0, note=note)
    milliseconds = [seconds * 1e3 for seconds in taken["create"]]
    median = statistics.median(milliseconds)
    yield Figure("create: time", "a session over HTTP", median, "ms", 20.0, spread=quartiles(milliseconds))


def create_many(here: Guests) -> Iterator[Figure]:
    """All asked for in the same moment, each on a connection of its own."""
    name, what = f"create {MANY}", "sessions asked for at once, until the last one is there"
    if reason := here.lacks_room_for(MANY):
        yield unmeasured(name, what, reason)
        return
    names = [f"many-{number}" for number in range(MANY)]
    seconds, answers = at_once(here.address, [here.opening(name) for name in names])
    failed = sum(not is_success(answer) for answer in answers)
    yield Figure(name, what, seconds, "s", at_most=3.0)
    yield Figure(f"{name}: failed", "of them refused or failed", failed, "", at_most=0)
    start = time.perf_counter()
    here.close(*here.names())
    yield Figure(f"close {MANY}", "closed, half of them at a time", time.perf_counter() - start, "s")


def close_with_children(here: Guests) -> Iterator[Figure]:
    """Until the answer; then nothing of it may be there any more."""
    taken, remains = [], 0
    for number in range(CLOSINGS):
        name = f"family-{number}"
        here.open(name)
        here.execute(name, f"for i in $(seq {CHILDREN}); do sleep 1000 & done; echo x > file")
        taken.append(timed(_asking(here, here.closing(name))) * 1e3)
        found = here.inside("left", str(here.place.paths.state_dir))
        remains += found["processes"] + found["cgroups"] + found["directories"]
    name = f"close: {CHILDREN} children"
    median = statistics.median(taken)
    yield Figure(name, "until the answer", median, "ms", at_most=100.0, spread=quartiles(taken))
    what = f"processes, cgroups and files of {OWNER} that were there after the answer"
    yield Figure(f"{name}: left", what, remains, "", at_most=0)


def _asking(here: Guests, request: bytes) -> Action:
    return lambda: here.door.round_trip(request)


def _run(program: str) -> None:
    pid = os.posix_spawn(program, _BARE, {})
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError(f"cannot measure: {' '.join(_BARE)} failed")

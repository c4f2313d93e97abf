# SPDX-License-Identifier: MIT
"""Commands in a session: exec over HTTP beside the least that the same server answers, run as a person types it."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.guests import OWNER, Guests, guests
from benchmarks.harness import Action, Figure, Samples, alternate, quartiles, ratio, unmeasured
from benchmarks.place import Place

ROUNDS, BLOCK = 30, 30
TYPED_ROUNDS, TYPED_BLOCK = 15, 3
SPAWNS = 1.5


def figures(place: Place) -> Iterator[Figure]:
    """The client runs where it likes, as clients do: here a wake-up between two cores is part of the answer."""
    with guests(place) as here:
        here.open("shell")
        yield from execute(here)
        yield from typed(here)


def execute(here: Guests) -> Iterator[Figure]:
    """A builtin, and a program that does nothing."""
    stats, builtin, program = here.stats(), here.command("shell", "true"), here.command("shell", "/bin/true")
    samples = alternate(
        {
            "stats": lambda: here.door.round_trip(stats),
            "builtin": lambda: here.door.round_trip(builtin),
            "program": lambda: here.door.round_trip(program),
            "spawn": _spawn,
        },
        ROUNDS,
        BLOCK,
    )
    yield ratio(
        "exec",
        "a builtin in the session's shell, against GET /api/stats",
        samples.ratios("builtin", lambda row: row["stats"]),
        at_most=2.2,
        note=_milliseconds(samples, "builtin", "stats"),
    )
    times = [seconds * 1e3 for seconds in samples.rounds["builtin"]]
    yield Figure("exec: time", "the same", statistics.median(times), "ms", 1.0, spread=quartiles(times))
    yield ratio(
        "exec /bin/true",
        f"against (a builtin + {SPAWNS} × a bare posix_spawn of it)",
        samples.ratios("program", lambda row: row["builtin"] + SPAWNS * row["spawn"]),
        at_most=1.0,
        note=_milliseconds(samples, "program", "builtin", "spawn"),
    )


def typed(here: Guests) -> Iterator[Figure]:
    """The whole process of strata-ctl."""
    name, what = "strata-ctl run", "`run -- true` against `supervisor.status`, whole processes"
    program = Path(sys.executable).with_name("strata-ctl")
    if not program.exists():
        yield unmeasured(name, what, f"{program} is not installed")
        return
    actions: dict[str, Action] = {
        "run": _process(here.place, str(program), "run", f"{OWNER}/shell", "--", "true"),
        "exec": _process(here.place, str(program), "exec", f"{OWNER}/shell", "--", "true"),
        "status": _process(here.place, str(program), "supervisor.status"),
    }
    samples = alternate(actions, TYPED_ROUNDS, TYPED_BLOCK)
    note = _milliseconds(samples, "run", "status")
    yield ratio(name, what, samples.ratios("run", lambda row: row["status"]), at_most=1.5, note=note)
    note, ratios = _milliseconds(samples, "exec"), samples.ratios("exec", lambda row: row["status"])
    yield ratio("strata-ctl exec", "`exec -- true` against the same", ratios, note=note)


def _spawn() -> None:
    os.waitpid(os.posix_spawn(_TRUE, ("true",), {}), 0)


_TRUE = shutil.which("true") or "/bin/true"


def _process(place: Place, *argv: str) -> Action:
    environment = place.environment()
    return lambda: subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=True)


def _milliseconds(samples: Samples, *names: str) -> str:
    return ", ".join(f"{name} {samples.median(name) * 1e3:.2f} ms" for name in names)

# SPDX-License-Identifier: MIT
"""Sessions that do nothing: the memory of each, and the processor time that hundreds of them cost the machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.guests import Guests, guests
from benchmarks.harness import Figure, unmeasured
from benchmarks.place import Place

SOME, MANY, SECONDS, SETTLE_SECONDS = 100, 500, 60.0, 10.0
CEILING, SHARE = 2.0, 2.0  # MiB of a session; per cent of one processor


def figures(place: Place) -> Iterator[Figure]:
    """From few to many."""
    with guests(place) as here:
        yield from memory(here, 1)
        yield from memory(here, SOME)
        yield from processor(here)


def memory(here: Guests, count: int) -> Iterator[Figure]:
    """PSS (proc(5)): what processes share is divided among them, so the first of them pays for all."""
    label = f"{count} idle" if count > 1 else "an idle session"
    if reason := here.lacks_room_for(count):
        yield unmeasured(label, "PSS of a session's scope", reason)
        return
    names = [f"idle-{number}" for number in range(count)]
    here.open(*names)
    bare = _each(here)
    here.all_of([here.command(name, "true") for name in names])
    shells = _each(here)
    here.close(*names)
    each = " of each" if count > 1 else ""
    for what, found in (("", bare), (", with its shell", shells)):
        note = f"{min(found):.2f} – {max(found):.2f}" if count > 1 else ""
        yield Figure(
            f"{label}{what}",
            f"PSS of everything in the scope{each}",
            statistics.median(found),
            "MiB",
            CEILING,
            note=note,
        )


def _each(here: Guests) -> list[float]:
    return [sum(parts.values()) / 1024 for parts in here.inside("memory").values()]


def processor(here: Guests) -> Iterator[Figure]:
    """Half of them with a shell; nobody asks for anything meanwhile."""
    name, what = f"{MANY} idle: cpu", f"systemd and Strata together over {SECONDS:g} s, of one processor"
    if reason := here.lacks_room_for(MANY):
        yield unmeasured(name, what, reason)
        return
    names = [f"crowd-{number}" for number in range(MANY)]
    start = time.perf_counter()
    here.open(*names)
    seconds = time.perf_counter() - start
    here.all_of([here.command(each, "true") for each in names[::2]])
    time.sleep(SETTLE_SECONDS)  # the journal is still being written
    used = here.inside("busy", str(SECONDS))
    alive = len(here.inside("memory"))
    shares = {unit: 100 * spent / SECONDS for unit, spent in used.items()}
    note = ", ".join(f"{_short(unit)} {share:.2f}" for unit, share in sorted(shares.items()))
    yield Figure(name, what, sum(shares.values()), "%", SHARE, note=note)
    yield Figure(f"{MANY} idle: alive", "of them, by their processes", alive, "", at_least=MANY)
    yield Figure(f"{MANY} idle: opened", "in so long", seconds, "s")
    start = time.perf_counter()
    here.close(*names)
    yield Figure(f"{MANY} idle: closed", "in so long", time.perf_counter() - start, "s")


def _short(unit: str) -> str:
    return unit.removeprefix("strata-").removesuffix(".service")

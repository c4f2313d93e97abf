# SPDX-License-Identifier: MIT
"""Faults of scarcity: disks, descriptors, processes and memory run out, and are there again."""

from __future__ import annotations

import contextlib
import os
import random
import resource
from pathlib import Path
from typing import Any

from census import Proc
from faults import HELPERS, ROOMS, Aim, Blow, Fault, Loss, commands, session_of, sessions
from world import World

SECONDS = (0.1, 1.0)


def full(which: str) -> Aim:
    """All that is free of a disk is taken."""

    def aim(world: World, chance: random.Random) -> Blow:
        top = world.paths.state_dir if which == "state" else world.paths.runtime_dir
        filler = top / "filler"
        return Blow(f"the {which} directory's disk", lambda: fill(filler), filler.unlink, chance.uniform(*SECONDS))

    return aim


def fill(path: Path) -> None:
    """To the last page."""
    with path.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(b"\0" * 1_048_576):
                pass
        with contextlib.suppress(OSError):
            while file.write(b"\0" * 4096):
                pass


def no_descriptors(world: World, chance: random.Random) -> Blow | None:
    """The limit of a process is what it has, and next to nothing more."""
    victims = [one for one in world.processes() if one.role in (*ROOMS, *HELPERS)]
    if not victims:
        return None
    victim = chance.choice(victims)
    try:
        most = max(map(int, os.listdir(f"/proc/{victim.pid}/fd"))) + 1 + chance.randrange(3)
        before = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return None

    def limit(values: tuple[int, int]) -> None:
        with contextlib.suppress(OSError):
            resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, values)

    strike = lambda: limit((most, before[1]))  # noqa: E731
    told = Loss("run", lambda seen: seen == ("exit", 126))  # it could not be executed: `error` says why
    return Blow(f"{victim} has {most}", strike, lambda: limit(before), chance.uniform(*SECONDS), [told])


def limited(roles: tuple[str, ...], name: str) -> Aim:
    """A limit of a unit is lowered to what it uses, and back: `systemctl set-property --runtime`."""

    def aim(world: World, chance: random.Random) -> Blow | None:
        victims = sorted({one.unit for one in world.processes() if one.role in roles})
        if not victims:
            return None
        unit = chance.choice(victims)
        before, used = (_show(world, unit, word) for word in (name, _USED[name]))
        if not used.isdigit() or not before:
            return None
        low = int(used) + (0 if name == "TasksMax" else 512 * 1024)
        return Blow(
            f"{name}={low} of {unit}, which had {before}",
            lambda: _set(world, unit, name, low),
            lambda: _set(world, unit, name, before),
            chance.uniform(*SECONDS),
            _losses(unit),
        )

    return aim


_USED = {"TasksMax": "TasksCurrent", "MemoryMax": "MemoryCurrent"}


def _show(world: World, unit: str, name: str) -> str:
    return world.systemctl("show", "-P", name, unit).strip()


def _set(world: World, unit: str, name: str, value: Any) -> None:
    world.systemctl("set-property", "--runtime", unit, f"{name}={value}")


def _losses(unit: str) -> list[Loss]:
    """In a session without memory the kernel kills whom it likes, its first process too."""
    key = session_of(unit)
    if key is None:
        return []
    return [*commands(key), *sessions(lambda thing: thing == key)]


def limits() -> list[Fault]:
    """Rows."""
    return [
        Fault("the state directory's disk is full", 4, full("state")),
        Fault("the runtime directory's disk is full", 3, full("run")),
        Fault("no descriptors are left", 4, no_descriptors),
        Fault("no process of a room may fork", 2, limited(ROOMS, "TasksMax")),
        Fault("no process of a session may fork", 3, limited(("payload",), "TasksMax")),
        Fault("a room has no memory", 2, limited(ROOMS, "MemoryMax")),
        Fault("a session has no memory", 3, limited(("payload",), "MemoryMax")),
    ]


__all__ = ["Proc", "limits"]

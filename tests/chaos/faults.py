# SPDX-License-Identifier: MIT
"""Everything that is done to a world on purpose: one row each, with its weight.

A row aims first, which changes nothing and tells what the documents say may be lost; then it strikes, and after a while
what can be undone is undone, as somebody would who notices.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from acknowledged import ABSENT, Key
from census import Proc
from load_core import DECLARED, STOPPED
from world import World

from strata.sandbox import ids

EVERYTHING: Callable[[Key], bool] = lambda _key: True  # noqa: E731
IN_SESSIONS = ("content", "run", "terminal")
SOON, LATE = (0.0, 0.3), (7.0, 9.0)
"""Seconds that a fault lasts: within every watchdog's time, and beyond the five seconds of most."""


class Loss(NamedTuple):
    """Things of `kind` that `match` may be `value` afterwards."""

    kind: str
    value: Any
    match: Callable[[Key], bool] = EVERYTHING


class Blow(NamedTuple):
    """`strike` does it, `undo` ends it after `hold` seconds."""

    what: str
    strike: Callable[[], Any]
    undo: Callable[[], Any] = lambda: None
    hold: float = 0.0
    losses: Sequence[Loss] = ()


Aim = Callable[[World, random.Random], Blow | None]


class Fault(NamedTuple):
    """`aim` finds whom it hits; None when there is nobody now."""

    name: str
    weight: int
    aim: Aim


# --- what may be lost


def table() -> list[Loss]:
    """A registry that is stopped forgets what others registered (protocol.md, registry.resolve)."""
    return [Loss("registration", ABSENT)]


def sessions(match: Callable[[Key], bool] = EVERYTHING) -> list[Loss]:
    """Sessions end: the sandbox service is stopped, the scope or the first process is killed (sandboxes.md, Life).
    A client may have opened one of the same name since."""
    below = lambda key: match(key[:2])  # noqa: E731
    shells = [Loss("variable", ABSENT, below), Loss("variable", "", below)]
    return [Loss("session", ABSENT, match), *(Loss(kind, ABSENT, below) for kind in IN_SESSIONS), *shells]


def commands(key: Key, ended: bool = True) -> list[Loss]:
    """What runs in a session is killed: that it was is what is told. A new shell has no variables."""
    mine = lambda thing: thing[:2] == key  # noqa: E731
    found = [Loss("variable", "", mine), Loss("terminal", ABSENT, mine)]
    return [*found, Loss("run", told_ended, mine)] if ended else found


def told_ended(seen: Any) -> bool:
    """Some end of a run, which must be one of those that the documents name; where its keeper was killed, that
    nobody knows it (sandboxes.md, Exec)."""
    return isinstance(seen, tuple) and (seen[0] in ("exit", "signal", "oom") or "keeper" in seen[0])


def session_of(unit: str) -> Key | None:
    """The session of a scope."""
    found = ids.of_scope(unit)
    return None if found is None else (found.owner, found.session)


def losses_of(victim: Proc) -> list[Loss]:
    """What a SIGKILL to this process takes with it."""
    key = session_of(victim.unit)
    if key is None:
        return []
    if victim.role in ("bwrap", "payload"):
        return sessions(lambda thing: thing == key)
    return commands(key)


# --- signals

ROOMS = ("supervisor", "registry", "identity", "fs", "sandbox", "api")
HELPERS = ("supervisor-gateway", "sandbox-gateway", "launcher")
INSIDE = ("bwrap", "payload", "keeper", "shell", "run", "terminal")


def killed(role: str) -> Aim:
    """SIGKILL."""

    def aim(world: World, chance: random.Random) -> Blow | None:
        victim = _one(world, role, chance)
        if victim is None:
            return None
        return Blow(str(victim), lambda: victim.signal(signal.SIGKILL), losses=losses_of(victim))

    return aim


def stopped(role: str, seconds: tuple[float, float]) -> Aim:
    """SIGSTOP, and SIGCONT after a while: a watchdog may have been faster."""

    def aim(world: World, chance: random.Random) -> Blow | None:
        victim = _one(world, role, chance)
        if victim is None:
            return None
        undo = lambda: victim.signal(signal.SIGCONT)  # noqa: E731
        return Blow(str(victim), lambda: victim.signal(signal.SIGSTOP), undo, chance.uniform(*seconds))

    return aim


def _one(world: World, role: str, chance: random.Random) -> Proc | None:
    found = [one for one in world.processes() if one.role == role]
    return chance.choice(found) if found else None


def all_of_strata(world: World, chance: random.Random) -> Blow:
    """SIGKILL to every room and helper at once."""
    victims = [one for one in world.processes() if one.role in (*ROOMS, *HELPERS)]
    chance.shuffle(victims)
    return Blow(f"{len(victims)} processes", lambda: [one.signal(signal.SIGKILL) for one in victims])


def signals() -> list[Fault]:
    """Rows for every kind of process."""
    rows = [Fault(f"SIGKILL of {role}", 6, killed(role)) for role in (*ROOMS, *HELPERS)]
    rows += [Fault(f"SIGKILL of {role}", 4, killed(role)) for role in (*INSIDE, "service")]
    rows += [Fault(f"SIGSTOP of {role}", 3, stopped(role, (0.1, 1.2))) for role in (*ROOMS, *HELPERS, *INSIDE)]
    rows += [Fault(f"SIGSTOP of {role} beyond its watchdog", 1, stopped(role, LATE)) for role in (*ROOMS, "service")]
    rows += [Fault(f"SIGSTOP of {role} for long", 1, stopped(role, LATE)) for role in HELPERS]
    return [*rows, Fault("SIGKILL of all of Strata", 4, all_of_strata)]


# --- for other tables


def stopped_service(name: str) -> list[Loss]:
    """To stop a user's service by systemctl is a wish too; but while an operator is at work on it, his counts, and it
    is Declared: it was to run, and does not (strata/supervisor/board.py)."""
    mine = lambda key: key == (name,)  # noqa: E731
    return [Loss("service", STOPPED, mine), Loss("service", DECLARED, mine)]

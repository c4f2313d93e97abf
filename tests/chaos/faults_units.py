# SPDX-License-Identifier: MIT
"""Faults behind Strata's back: units stopped, killed, restarted and frozen by systemctl, and systemd itself."""

from __future__ import annotations

import contextlib
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import declared
from acknowledged import Key
from faults import ROOMS, SOON, Aim, Blow, Fault, Loss, commands, session_of, sessions, stopped_service, table
from world import World

USERS = ("simple", "ticking", "probed")
SANDBOXES, SUPERVISOR = "strata-sandbox.service", "strata-supervisor.service"


def lost_with(unit: str) -> list[Loss]:
    """What a stop of this unit takes with it, by the documents."""
    if unit in (SUPERVISOR, "strata.slice"):
        return [*table(), *sessions(), Loss("service", _anything)]
    name = unit.removeprefix("strata-").partition(".")[0]
    if name == "registry":
        return table()
    if name == "sandbox":
        return sessions()
    if unit.startswith("strata-svc-"):
        return stopped_service(name.removeprefix("svc-"))
    if key := session_of(unit):
        return sessions(lambda thing: thing == key)
    return []


def _anything(seen: object) -> bool:
    return seen in ("Healthy", "Stopped", "Declared", "Quarantined")


def nothing(_unit: str) -> list[Loss]:
    """What comes back as it was."""
    return []


def told_to_end(unit: str) -> list[Loss]:
    """A supervisor that is sent SIGTERM, with no job of systemd's that says restart, ends for good; a room comes back
    (strata/systemd/ending.py)."""
    return lost_with(unit) if unit == SUPERVISOR else []


def verb(words: Sequence[str], units: Sequence[str], lost: Callable[[str], list[Loss]]) -> Aim:
    """`systemctl WORDS UNIT` of one of the units."""

    def aim(world: World, chance: random.Random) -> Blow:
        unit = chance.choice(units)
        strike = lambda: world.systemctl(*words, unit)  # noqa: E731
        return Blow(f"systemctl {' '.join(words)} {unit}", strike, losses=lost(unit))

    return aim


def scope(words: Sequence[str]) -> Aim:
    """The same, of a session."""

    def aim(world: World, chance: random.Random) -> Blow | None:
        units = sorted(unit for unit in world.units("strata-sandbox-*.scope"))
        if not units:
            return None
        unit = chance.choice(units)
        return Blow(
            f"systemctl {' '.join(words)} {unit}", lambda: world.systemctl(*words, unit), losses=lost_with(unit)
        )

    return aim


def owners_slice(world: World, chance: random.Random) -> Blow | None:
    """All sessions of an owner at once."""
    units = sorted(unit for unit in world.units("strata-sandbox-*.slice"))
    if not units:
        return None
    unit = chance.choice(units)
    owner = unit.removeprefix("strata-sandbox-").removesuffix(".slice")
    losses = sessions(lambda key: key[0] == owner)
    return Blow(f"systemctl stop {unit}", lambda: world.systemctl("stop", unit), losses=losses)


def frozen(roles: Sequence[str], seconds: tuple[float, float]) -> Aim:
    """cgroup.freeze of a unit. `systemctl freeze` writes it where systemd runs on cgroup v2 alone; here by hand, in the
    unified hierarchy, which every process is in."""

    def aim(world: World, chance: random.Random) -> Blow | None:
        victims = [one for one in world.processes() if one.role in roles]
        if not victims:
            return None
        victim = chance.choice(victims)
        line = Path(f"/proc/{victim.pid}/cgroup").read_text().rpartition("0::")[2].strip()
        path = world.embedded.cgroups[-1].parent / line.lstrip("/").partition(victim.unit)[0] / victim.unit

        def write(word: str) -> None:
            with contextlib.suppress(OSError):  # it is gone: the watchdog, or its owner, was faster
                (path / "cgroup.freeze").write_text(word)

        return Blow(f"freeze of {victim.unit}", lambda: write("1"), lambda: write("0"), chance.uniform(*seconds))

    return aim


def reset_failed(world: World, _chance: random.Random) -> Blow:
    """Of everything: what was Quarantined is Declared, until somebody starts it."""
    return Blow("systemctl reset-failed", lambda: world.systemctl("reset-failed"))


def reload(word: str) -> Aim:
    """daemon-reload and daemon-reexec."""
    return lambda world, _chance: Blow(f"systemctl {word}", lambda: world.systemctl(word))


def late(world: World, chance: random.Random) -> Blow:
    """PID 1 does not answer for a while."""
    pid1 = next(one for one in world.processes() if one.role == "pid1")
    hold = chance.uniform(0.5, 5.0)
    return Blow(
        f"PID 1 for {hold:.1f} s", lambda: pid1.signal(signal.SIGSTOP), lambda: pid1.signal(signal.SIGCONT), hold
    )


JOURNAL = ("systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service")


def journal_killed(world: World, _chance: random.Random) -> Blow:
    """SIGKILL; systemd starts it again."""
    return Blow("systemctl kill journald", lambda: world.systemctl("kill", "--signal=KILL", JOURNAL[-1]))


def journal_gone(world: World, chance: random.Random) -> Blow:
    """Stopped with its sockets, and started again."""
    stop, start = (lambda: world.systemctl("stop", *JOURNAL)), (lambda: world.systemctl("start", *JOURNAL))
    return Blow("journald stopped", stop, start, chance.uniform(0.2, 1.5))


def session_frozen(world: World, chance: random.Random) -> Blow | None:
    """The scope, behind everybody's back."""
    return frozen(("payload",), (0.1, 1.0))(world, chance)


def killed_inside(world: World, chance: random.Random) -> Blow | None:
    """SIGKILL to all that commands of one session started, and to their keepers."""
    inside = [one for one in world.processes() if one.role in ("shell", "run", "terminal", "keeper")]
    if not inside:
        return None
    unit = chance.choice(sorted({one.unit for one in inside}))
    key: Key | None = session_of(unit)
    if key is None:
        return None
    victims = [one for one in inside if one.unit == unit]
    return Blow(
        f"all commands of {unit}", lambda: [one.signal(signal.SIGKILL) for one in victims], losses=commands(key)
    )


def units() -> list[Fault]:
    """Rows."""
    services = [f"strata-{name}.service" for name in ROOMS]
    rooms = [unit for unit in services if unit != SUPERVISOR]
    sockets = [f"strata-{name}.socket" for name in ROOMS if name != "supervisor"]
    users = [f"strata-svc-{name}.service" for name in USERS]
    every = [f"strata-svc-{name}.service" for name in declared.MANIFESTS]
    return [
        Fault("systemctl stop of a room", 5, verb(["stop"], rooms, lost_with)),
        Fault("systemctl stop of the supervisor", 1, verb(["stop"], [SUPERVISOR], lost_with)),
        Fault("systemctl stop of strata.slice", 1, verb(["stop"], ["strata.slice"], lost_with)),
        Fault("systemctl stop of a socket", 2, verb(["stop"], sockets, lost_with)),
        Fault("systemctl stop of a user's service", 3, verb(["stop"], users, lost_with)),
        Fault("systemctl stop of a session", 4, scope(["stop"])),
        Fault("systemctl stop of an owner's slice", 2, owners_slice),
        Fault("systemctl restart", 6, verb(["restart"], [*services, *users], nothing)),
        Fault("systemctl kill -KILL", 6, verb(["kill", "--signal=KILL"], [*services, *every], nothing)),
        Fault("systemctl kill -TERM", 4, verb(["kill", "--kill-who=main", "--signal=TERM"], services, told_to_end)),
        Fault("systemctl kill -ABRT", 3, verb(["kill", "--kill-who=main", "--signal=ABRT"], services, nothing)),
        Fault("systemctl kill of a session", 3, scope(["kill", "--signal=KILL"])),
        Fault("SIGKILL of all commands of a session", 3, killed_inside),
        Fault("freeze of a room", 3, frozen(ROOMS, (0.1, 1.2))),
        Fault("freeze of a room beyond its watchdog", 1, frozen(ROOMS, (7.0, 9.0))),
        Fault("freeze of a session", 3, session_frozen),
        Fault("systemctl reset-failed", 3, reset_failed),
        Fault("daemon-reload", 4, reload("daemon-reload")),
        Fault("daemon-reexec", 4, reload("daemon-reexec")),
        Fault("PID 1 answers late", 4, late),
        Fault("journald killed", 3, journal_killed),
        Fault("journald gone", 3, journal_gone),
    ]


__all__ = ["SOON", "units"]

# SPDX-License-Identifier: MIT
"""Is all true that clients were told? Each kind of thing in the ledger, as it is seen from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import declared
from acknowledged import ABSENT, Key, Ledger
from load import Client
from load_core import GOOD, REFUSED, verdict
from load_sandbox import OPEN, PRESENT, RUNNING
from world import World

from strata.client import Client as Strata
from strata.errors import NotFound

Seen = Mapping[Key, Any]
SECONDS = 30.0


class Sight(NamedTuple):
    """What an observer looks with."""

    world: World
    ledger: Ledger
    tokens: Mapping[Any, str]


def registrations(sight: Sight) -> Seen:
    """registry.list."""
    return {(row["service"],): row["endpoint"] for row in sight.world.call("registry.list")["services"]}


def tokens(sight: Sight) -> Seen:
    """Every one at identity and at the service that it is for: they must agree."""
    seen = {}
    for key in sight.ledger.of("token"):
        token = sight.tokens[key]
        told = sight.world.call("identity.introspect", {"token": token})["active"]
        there = verdict(sight.world, str(key[0]), token)
        here = GOOD if told else REFUSED
        seen[key] = here if here == there else f"{here} at identity, {there or 'no answer'} at {key[0]}"
    return seen


def files(sight: Sight) -> Seen:
    """What is in them."""
    return {(path.name,): path.read_text() for path in sight.world.files.iterdir()}


def services(sight: Sight) -> Seen:
    """Those of users; the greeter is greeted, which starts it."""
    rows = sight.world.rows()
    names = {*declared.MANIFESTS, *(str(key[0]) for key in sight.ledger.of("service"))}
    seen: dict[Key, Any] = {(name,): rows[name]["state"] for name in names if name in rows}
    if seen.get((declared.ON_DEMAND,)) == "Declared":  # it waits for its next client, as it is to
        seen[declared.ON_DEMAND,] = "Healthy"
    return seen


def sessions(sight: Sight) -> Seen:
    """sandbox.list; one that a client froze and could not thaw is thawed, as its owner would."""
    seen: dict[Key, Any] = {}
    for row in sight.world.call("sandbox.list")["sessions"]:
        if row["state"] == "frozen":
            sight.world.call("sandbox.thaw", {"owner": row["owner"], "session": row["session"]})
        seen[row["owner"], row["session"]] = OPEN
    return seen


def _open(sight: Sight) -> set[Key]:
    return {key for key, value in sessions(sight).items() if value == OPEN}


def contents(sight: Sight) -> Seen:
    """Of files in sessions."""
    there = _open(sight)
    seen: dict[Key, Any] = {}
    with _strata(sight) as strata:
        for key in sight.ledger.of("content"):
            if key[:2] in there:
                owner, name, path = map(str, key)
                try:
                    seen[key] = strata.session(owner, name).read(path).decode()
                except NotFound:
                    seen[key] = ABSENT
    return seen


def variables(sight: Sight) -> Seen:
    """Of shells; a new shell has none."""
    there = _open(sight)
    seen: dict[Key, Any] = {}
    with _strata(sight) as strata:
        for key in sight.ledger.of("variable"):
            if key in there:
                done = strata.session(*map(str, key)).exec("echo $CHAOS", timeout=20)
                seen[key] = done.output if done.ok else f"ended by {done.ended}"
    return seen


def runs(sight: Sight) -> Seen:
    """How they stand, or ended."""
    seen: dict[Key, Any] = {}
    there = _open(sight)
    with _strata(sight) as strata:
        for owner, name in {key[:2] for key in sight.ledger.of("run")} & there:
            for run in strata.session(str(owner), str(name)).runs():
                how = f"cancelled: {run.error}" if run.ended == "cancelled" else run.ended
                seen[owner, name, run.id] = (how, run.exit_code) if run.ended else RUNNING
    return seen


def terminals(sight: Sight) -> Seen:
    """Those that are there."""
    there = _open(sight)
    seen: dict[Key, Any] = {}
    with _strata(sight) as strata:
        for owner, name in {key[:2] for key in sight.ledger.of("terminal")} & there:
            for one in strata.session(str(owner), str(name)).terminals():
                seen[owner, name, one.terminal] = PRESENT
    return seen


def snapshots(sight: Sight) -> Seen:
    """By owner."""
    seen: dict[Key, Any] = {}
    for owner in {key[0] for key in sight.ledger.of("snapshot")}:
        for one in sight.world.call("sandbox.snapshots", {"owner": owner})["snapshots"]:
            seen[owner, one["name"]] = PRESENT
    return seen


def _strata(sight: Sight) -> Strata:
    return Strata(sight.world.paths.socket("sandbox"), timeout=SECONDS)


OBSERVERS: dict[str, Callable[[Sight], Seen]] = {
    "session": sessions,
    "content": contents,
    "variable": variables,
    "run": runs,
    "terminal": terminals,
    "snapshot": snapshots,
    "token": tokens,
    "registration": registrations,
    "file": files,
    "service": services,
}
"""Sessions first: what is in one that is gone is gone with it."""

# --- what every world promises from its beginning


def begin(ledger: Ledger) -> None:
    """The declared services."""
    for name, state in declared.STATES.items():
        ledger.done("service", (name,), state, "declared")


def judge(sight: Sight) -> tuple[list[str], dict[str, Seen]]:
    """What is not as somebody was told, and all that was seen."""
    seen = {kind: look(sight) for kind, look in OBSERVERS.items()}
    wrong = [
        f"no lost acknowledged operation: {each}" for kind in seen for each in sight.ledger.judge(kind, seen[kind])
    ]
    return wrong, seen


def settle(sight: Sight, seen: Mapping[str, Seen]) -> None:
    """From now on, what was seen is so; a run that has ended, and a token that was refused, are done with."""
    for kind in OBSERVERS:
        sight.ledger.settle(kind, seen[kind])
    ended = {key for key, entry in sight.ledger.of("run").items() if entry.possible != [RUNNING]}
    sight.ledger.forget("run", lambda key: key in ended)
    refused = sorted(key for key, entry in sight.ledger.of("token").items() if entry.possible == [REFUSED])
    old = {*refused[: max(0, len(refused) - 4)]}
    sight.ledger.forget("token", lambda key: key in old)


def held_tokens(clients: Sequence[Client]) -> Mapping[Any, str]:
    """The tokens that the client of capabilities holds."""
    return next(one.kept for one in clients if one.name == "capabilities")

# SPDX-License-Identifier: MIT
"""A walk through a world, one fault at a time, and everything looked over after each (README.md)."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import faults
import faults_limits
import faults_units
import invariants
import load_core
import load_sandbox
import promised
from acknowledged import Ledger
from faults import Blow, Fault
from load import REFUSED, Load
from promised import Sight
from world import World, world

FAULTS: Sequence[Fault] = (*faults.signals(), *faults_units.units(), *faults_limits.limits())
SETTLE_SECONDS = 40.0
JOURNAL_LINES = 400
SWEEP = 20
"""Steps between two closings of everything, after which there must be as little as at the beginning."""
_WAIT = threading.Event()


class Violation(Exception):
    """An invariant does not hold; the text is the whole report."""


class Walk:
    """Steps through one world, by one seed."""

    def __init__(self, over: World, seed: int, only: str = "") -> None:
        self.world, self.seed = over, seed
        self.rows = [row for row in FAULTS if only in row.name]
        self.ledger = Ledger()
        self.clients = (*load_core.clients(), *load_sandbox.clients())
        self.sight = Sight(over, self.ledger, promised.held_tokens(self.clients))
        self.done: Counter[str] = Counter()
        self.calls = 0
        self._began = self._undone = 0.0
        promised.begin(self.ledger)

    def begin(self) -> None:
        """Use everything once, and remember what is there when nothing is open."""
        self._step(0, None)
        self.sweep()
        over = self.world
        over.baseline |= {
            "mounts": {
                one.role: {p for p in invariants.mount_points(over, one.pid) if "/sandbox/sessions/" not in p}
                for one in over.processes()
                if one.role in (*invariants.ROOMS, "pid1")
            },
            "descriptors": invariants.held(over),
            "files": invariants.listing(over),
        }

    def step(self, number: int) -> str:
        """One fault under load; what was done. Raises Violation."""
        chance = random.Random(f"{self.seed}/{number}")
        began = time.monotonic()
        what = self._step(number, chance)
        if number % SWEEP == 0:
            self.sweep()
        took, settling = time.monotonic() - began, time.monotonic() - self._undone
        return f"step {number:4} {took:5.1f} s, {settling:4.1f} s of it to settle  {what}"

    def _step(self, number: int, chance: random.Random | None) -> str:
        self.ledger.step, self._began = number, time.time()
        load = Load(self.world, self.ledger, self.clients, f"{self.seed}/{number}")
        struck = "nothing"
        blow = None
        try:
            if chance is None:
                _WAIT.wait(1.5)
            else:
                _WAIT.wait(chance.uniform(0.05, 0.4))
                fault, blow = self._aimed(chance)
                struck = f"{fault.name}: {blow.what}"
                self._excuse(blow, struck)
                self._strike(blow)
                self.done[fault.name] += 1
                _WAIT.wait(chance.uniform(0.0, 0.3))
        finally:
            load.end()
            self._undone = time.monotonic()
        self.calls += load.calls
        if blow:
            self._excuse(blow, struck)
        lost = {loss.kind for loss in blow.losses} if blow else set()
        self._check(number, struck, [what for kind, what in load.wrong if kind not in lost], load)
        return f"{struck}  ({load.calls} calls, {load.refusals} refused)"

    def _aimed(self, chance: random.Random) -> tuple[Fault, Blow]:
        while True:
            fault = chance.choices(self.rows, [row.weight for row in self.rows])[0]
            if blow := fault.aim(self.world, chance):
                return fault, blow

    def _strike(self, blow: Blow) -> None:
        blow.strike()
        try:
            _WAIT.wait(blow.hold)
        finally:
            blow.undo()

    def _excuse(self, blow: Blow, why: str) -> None:
        for loss in blow.losses:
            self.ledger.excuse(loss.kind, loss.value, why, loss.match)

    def _check(self, number: int, struck: str, wrong: Sequence[str], load: Load) -> None:
        if wrong:
            raise Violation(self._report(number, struck, [f"an answer may not be: {one}" for one in wrong], load))
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            found, seen = self._look()
            if not found:
                promised.settle(self.sight, seen)
                self.world.forgive()
                return
            if time.monotonic() > deadline:
                raise Violation(self._report(number, struck, found, load))
            _WAIT.wait(0.1)

    def _look(self) -> tuple[list[str], dict[str, promised.Seen]]:
        try:
            self.world.mend()
            wrong, seen = promised.judge(self.sight)
        except (*REFUSED, AssertionError) as error:
            return [f"nobody can look: {type(error).__name__}: {error}"], {}
        return [*wrong, *(() if wrong else self._invariants())], seen

    def violated(self) -> list[str]:
        """What of the invariants does not hold now; the ledger is not asked."""
        return list(self._invariants())

    def _invariants(self) -> Iterator[str]:
        for name, look in invariants.INVARIANTS.items():
            try:
                yield from (f"{name}: {what}" for what in look(self.world))
            except (*REFUSED, AssertionError) as error:
                yield f"{name}: {type(error).__name__}: {error}"

    def sweep(self) -> None:
        """Close all sessions, remove all snapshots; nothing may be left of them."""
        call = self.world.call
        for owner, name in sorted(invariants.sessions(self.world)):
            call("sandbox.close", {"owner": owner, "session": name}, timeout=60)
        for snapshot in self.ledger.of("snapshot"):
            call("sandbox.remove_snapshot", {"owner": snapshot[0], "name": snapshot[1]}, timeout=60)
        for kind in ("session", "snapshot", *load_sandbox.CHILDREN):
            self.ledger.forget(kind, lambda _key: True)
        deadline = time.monotonic() + SETTLE_SECONDS
        while found := self.violated():
            if time.monotonic() > deadline:
                raise Violation(self._report(self.ledger.step, "everything closed", found, None))
            _WAIT.wait(0.1)

    def _report(self, number: int, struck: str, found: Sequence[str], load: Load | None) -> str:
        since = f"--since=@{self._began:.3f}"
        journal = ["journalctl", "--no-pager", "--output=short-precise", since]
        return "\n".join(
            [
                f"seed {self.seed}, step {number}, after {struck}",
                *(f"  VIOLATED {one}" for one in found),
                *(f"  refused {one}" for one in sorted(load.refused if load else ())),
                f"  again: STRATA_CHAOS_SEED={self.seed} STRATA_CHAOS_STEPS={number} pytest tests/chaos",
                "  the journal since the step began:",
                *(f"    {line}" for line in self.world.hand.run(*journal).stdout.splitlines()[:JOURNAL_LINES]),
            ]
        )


def walk(seed: int, steps: int, only: str = "", seconds: float = float("inf")) -> Walk:
    """So many steps through a world of its own, or what fits into the time. Raises Violation."""
    deadline = time.monotonic() + seconds
    with world() as over:
        found = Walk(over, seed, only)
        found.begin()
        for number in range(1, steps + 1):
            if time.monotonic() > deadline:
                break
            print(found.step(number), flush=True)
        found.sweep()
    return found

# SPDX-License-Identifier: MIT
"""The background runs of one session: those that run, and the newest of those that have ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from strata.errors import UNREADABLE, NotFound, ResourceExhausted, StrataError
from strata.sandbox import descriptor_store
from strata.sandbox.cgroup import Group
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.children import Child, watch
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.foreground import Foreground
from strata.sandbox.plan import Wanted, output_pipe, reading
from strata.sandbox.ring import Ring
from strata.sandbox.run import KILL_SECONDS, About, Parts, Run
from strata.sandbox.session import Session, SpawnPlan
from strata.sandbox.stream import KEPT_BYTES, Stream

log = logging.getLogger(__name__)

MOST_RUNNING = 64
MOST_ENDED = 32
"""Kept of a session, to be asked for their end and output; the oldest are forgotten."""

_KIND = "run"
_ROLES = ("status", "out", "err", "out.pipe", "err.pipe")


class Runs:
    """Owns the session's background runs, and their descriptors in the store."""

    def __init__(self, session: Session, store: DescriptorStore, emptiness: Emptiness) -> None:
        self._session, self._store, self._emptiness = session, store, emptiness
        self._runs: dict[str, Run] = {}
        self._closing = False
        self._starting: set[str] = set()
        self._attended: dict[str, Foreground] = {}

    def adopt(self) -> None:
        """Take back those that outlived the room."""
        for number, kept in self._store.take(_KIND, self._session.key).items():
            try:
                self._take_back(number, kept)
            except (StrataError, LookupError, OSError, *UNREADABLE):
                log.exception("cannot take back run %s of %s", number, self._session.key.label)
                self._forget(number, *_ROLES)
                for fd in kept.values():
                    os.close(fd)

    def get(self, number: str) -> Run:
        """Raises NotFound."""
        if number not in self._runs:
            raise NotFound(f"run not found: {number[:80]}; sandbox.runs lists those that are")
        return self._runs[number]

    @contextlib.contextmanager
    def attended(self, number: str, run: Foreground) -> Iterator[None]:
        """A run that its caller waits for can be signalled meanwhile."""
        self._attended[number] = run
        try:
            yield
        finally:
            del self._attended[number]

    def is_taken(self, number: str) -> bool:
        """Whether a run of either kind has that id."""
        return number in self._attended or number in self._starting or number in self._runs

    def signal(self, number: str, found: int, whole: bool) -> int:
        """Send a signal to a run of either kind; to how many processes it went. Raises NotFound."""
        if run := self._attended.get(number):
            return run.signal(found, whole)
        kept = self.get(number)
        return kept.signal(found, whole) if kept.result is None else 0

    def describe(self) -> list[dict[str, Any]]:
        """All, the oldest first."""
        return [run.describe() for run in sorted(self._runs.values(), key=lambda run: run.about.started_at)]

    def summary(self) -> dict[str, int]:
        """For the description of the session."""
        running = sum(run.result is None for run in self._runs.values())
        return {"running": running, "ended": len(self._runs) - running}

    async def start(self, number: str, wanted: Wanted, given: Mapping[str, int]) -> Run:
        """Start one by that id; `given` may have its standard input. Raises StrataError."""
        if self._closing:
            raise NotFound("session not found")
        if self.summary()["running"] + len(self._starting) >= MOST_RUNNING:
            raise ResourceExhausted(f"cannot start more: {MOST_RUNNING} runs of the session are in the background")
        self._store.check_room(len(_ROLES), 2 * KEPT_BYTES)
        group = self._session.groups.scope.make(f"run-{number}")
        self._starting.add(number)
        try:
            return await self._start(number, wanted, given, group)
        except BaseException:
            group.kill()
            group.remove()
            raise
        finally:
            self._starting.discard(number)

    @property
    def busy(self) -> bool:
        """Whether something runs, be it only what a run that has ended left behind."""
        return any(not run.over.done() for run in self._runs.values())

    async def close(self) -> None:
        """End all, and let go of everything."""
        self._closing = True
        runs = tuple(self._runs.values())
        for run in runs:
            run.cut("cancelled")
        if runs:
            ends = [asyncio.create_task(run.done.wait()) for run in runs]
            await asyncio.wait(ends, timeout=KILL_SECONDS)
            for end in ends:
                end.cancel()
        for run in runs:
            self._drop(run)

    async def leave(self) -> None:
        """Let go of all; they go on, and wait in the store for the next room."""
        for run in self._runs.values():
            run.close()
        self._runs.clear()

    # ---

    async def _start(self, number: str, wanted: Wanted, given: Mapping[str, int], group: Group) -> Run:
        plan = SpawnPlan(wanted.argv, self._session.environment(wanted.env), wanted.cwd)
        started = time.time()
        with contextlib.ExitStack() as undo, reading(wanted.stdin) as inline:
            rings = {role: Ring.make(f"strata-{role}", KEPT_BYTES) for role in ("out", "err")}
            for ring in rings.values():
                undo.callback(ring.close)
            with _pipe() as (out, out_w), _pipe() as (err, err_w):
                child = await self._session.spawn(plan, [given.get("stdin", inline), out_w, err_w], group)
                undo.callback(child.abandon)
                if self._closing:  # meanwhile: nobody would let go of it
                    raise NotFound("the session was closed meanwhile")
                pipes = {"out.pipe": os.dup(out), "err.pipe": os.dup(err)}
            for fd in pipes.values():
                undo.callback(os.close, fd)
            keeper = child.keeper.pid if child.keeper else 0
            deadline = started + wanted.timeout if wanted.timeout else None
            about = About(number, wanted.argv, wanted.cwd, started, keeper, deadline)
            rings["out"].note(msgspec.json.encode(about))
            kept = {"status": child.status_fd, **pipes, **{role: ring.fd for role, ring in rings.items()}}
            self._store.push({self._name(number, role): fd for role, fd in kept.items()})
            undo.pop_all()
        return self._add(about, rings, pipes, child, group)

    def _take_back(self, number: str, kept: dict[str, int]) -> None:
        rings = {role: Ring(kept[role]) for role in ("out", "err")}
        notes = rings["out"].notes()
        about = msgspec.json.decode(notes[0], type=About)
        group = self._session.groups.scope.make(f"run-{number}")
        child = None if len(notes) > 1 else watch(None, kept["status"])
        self._add(about, rings, kept, child, group)

    def _add(
        self, about: About, rings: Mapping[str, Ring], pipes: Mapping[str, int], child: Child | None, group: Group
    ) -> Run:
        run = self._runs[about.id] = Run(about, self._emptiness)
        out = Stream("stdout", rings["out"], pipes.get("out.pipe", -1), run.changed)
        err = Stream("stderr", rings["err"], pipes.get("err.pipe", -1), run.changed)
        run.begin(Parts(out, err, child, group), self._ended)
        run.over.add_done_callback(lambda task: None if task.cancelled() else self._over(run))
        return run

    def _ended(self, run: Run) -> None:
        """Its end is in its notes: the keeper's word is needed no more."""
        self._session.touch()
        self._forget(run.about.id, "status")

    def _over(self, run: Run) -> None:
        """Nothing more comes: of its descriptors only the rings are needed, and they take what they hold."""
        if self._closing or run.closed:
            return
        self._forget(run.about.id, "status", "out.pipe", "err.pipe")
        for role, stream in zip(("out", "err"), run.streams, strict=True):
            self._store.weigh(self._name(run.about.id, role), stream.ring.held())
        over = [one for one in self._runs.values() if one.over.done()]
        for old in sorted(over, key=lambda one: one.about.started_at)[:-MOST_ENDED]:
            self._drop(old)

    def _drop(self, run: Run) -> None:
        run.close()
        self._forget(run.about.id, *_ROLES)
        self._runs.pop(run.about.id, None)

    def _forget(self, number: str, *roles: str) -> None:
        self._store.remove(*(self._name(number, role) for role in roles))

    def _name(self, number: str, role: str) -> str:
        return descriptor_store.name(_KIND, self._session.key, number, role)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Both ends, closed at the end."""
    reader, writer = output_pipe()
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)

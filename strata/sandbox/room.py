# SPDX-License-Identifier: MIT
"""The sandbox room: which sessions there are, and how one is opened, found and closed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from strata import durable
from strata.config import SandboxSettings
from strata.errors import NotFound, ResourceExhausted, StrataError, Unavailable
from strata.policy.ratelimit import Buckets
from strata.sandbox import closing, opening
from strata.sandbox import record as records
from strata.sandbox.cgroup import Emptiness
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.ids import SLICE, Key, owner_slice
from strata.sandbox.life import Life
from strata.sandbox.opening import Tools
from strata.sandbox.params_session import Addressed, CreateParams
from strata.sandbox.permission import allow
from strata.sandbox.ranges import Ranges
from strata.sandbox.record import Record
from strata.sandbox.session import Session, State
from strata.sandbox.snapshots import Snapshots, Stack
from strata.sandbox.wanted import Fixed, wanted
from strata.sockets.method import Call
from strata.systemd import audit, journal
from strata.units.properties import encode
from strata.units.render import render_owner

log = logging.getLogger(__name__)
AT_ONCE = 6
"""Sessions that are being opened at the same time; more wait their turn: PID 1 does one thing after another."""


class Room:
    """All sessions of this node."""

    def __init__(
        self, tools: Tools, settings: SandboxSettings, root: Path, buckets: Buckets, store: DescriptorStore
    ) -> None:
        self.tools, self.settings, self.root, self.buckets, self.store = tools, settings, root, buckets, store
        self.sessions: dict[Key, Session] = {}
        self.ranges = Ranges()
        self.snapshots = Snapshots(root / "snapshots", settings.owner)
        self.emptiness = Emptiness()
        self.life = Life(lambda session: self.expire(session, f"idle for {session.record.ttl_seconds:g} s"))
        self._changing: dict[Key, asyncio.Task[Session | None]] = {}
        self._opening: set[Key] = set()
        self._owners: set[str] = set()
        self._expiring: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.mapped = os.geteuid() == 0

    # --- for the handlers

    def allow(self, call: Call, owner: str | None, method: str = "") -> None:
        """Policy of a method on sessions of `owner`. Raises PermissionDenied or ResourceExhausted."""
        allow(self.buckets, call.claims, method or call.method, owner)

    def session(self, call: Call, params: Addressed) -> Session:
        """The open session that is meant, for one who may. Raises NotFound, InvalidArgument, PermissionDenied."""
        key = params.key
        self.allow(call, key.owner)
        found = self.sessions.get(key)
        if found is None or found.state is State.CLOSING:
            raise NotFound("session not found")
        return found

    async def ensure(self, call: Call, params: Addressed) -> Session:
        """As `session`, opening it as the settings say where there is none and the caller may create."""
        key = params.key
        self.allow(call, key.owner)
        found = self.sessions.get(key)
        if found is not None and found.state is not State.CLOSING:
            return found
        return (await self.create(call, CreateParams(owner=key.owner, session=key.session)))[0]

    async def create(self, call: Call, params: CreateParams) -> tuple[Session, bool]:
        """The session, and whether it is new. Raises StrataError."""
        key = params.key
        self.allow(call, key.owner, "sandbox.create")
        while (task := self._changing.get(key)) is not None:
            await asyncio.wait([task])
        if key in self.sessions:
            return self.sessions[key], False
        task = asyncio.create_task(self._open(call, params))
        session = await self._change(key, task)
        assert session is not None
        return session, True

    async def close(self, session: Session, why: str) -> None:
        """End everything in it; returns when its cgroup is empty and its files are gone. Closing twice waits for the
        first."""
        while (task := self._changing.get(session.key)) is not None:
            await asyncio.wait([task])
        if self.sessions.get(session.key) is session:
            await self._change(session.key, asyncio.create_task(self._close(session, why)))

    def change(self, session: Session, record: Record) -> None:
        """Give a session another record."""
        with durable.told(f"change {session.key.label}"):
            records.save(session.directory, record)
        session.record = record
        self.life.watch(session)

    def ended(self, key: Key) -> None:
        """systemd says that a session's scope is no more: its lifetime is over, or somebody stopped it."""
        session = self.sessions.get(key)
        if session and session.state is not State.CLOSING and not session.groups.scope.populated:
            self.expire(session, "its scope ended")

    def of(self, owner: str | None) -> Iterator[Session]:
        """The open sessions of one owner, or all."""
        return (one for one in self.sessions.values() if owner in (None, one.key.owner))

    def directory(self, key: Key) -> Path:
        """Where the session lies on disk; ids cannot lead elsewhere."""
        return self.root / "sessions" / key.owner / key.session

    # --- changes, one at a time for each session

    async def _change(self, key: Key, task: asyncio.Task[Session | None]) -> Session | None:
        self._changing[key] = task
        task.add_done_callback(lambda _: self._changing.pop(key, None))
        return await asyncio.shield(task)  # it goes on when its caller hangs up: half a session is none

    async def _open(self, call: Call, params: CreateParams) -> Session | None:
        key = params.key
        self._check_room(key)
        self._opening.add(key)
        try:
            return await self._open_counted(call, params)
        finally:
            self._opening.discard(key)

    async def _open_counted(self, call: Call, params: CreateParams) -> Session:
        with self.snapshots.used(params.key.owner, params.from_snapshot) as stack:
            return await self._open_on(stack, call, params)

    async def _open_on(self, stack: Stack, call: Call, params: CreateParams) -> Session:
        key = params.key
        first = self.ranges.take() if self.mapped else os.geteuid()
        try:
            fixed = Fixed(first, self.mapped, call.claims is None, stack.layers, stack.base)
            record = wanted(params, self.settings, fixed)
            async with self._turns:
                await self._open_slice(key)
                session = await self._open_in(self.directory(key), record)
        except BaseException:
            self.ranges.give_back(first)
            raise
        self.add(session)
        journal.send(
            "sandbox.created",
            f"{key.label}: opened for {audit.subject(call)} ({session.record.driver}, {session.record.network})",
            session=key.label,
            subject=audit.subject(call),
        )
        return session

    async def _open_in(self, directory: Path, record: Record) -> Session:
        _make(directory)
        try:
            return await opening.open_session(self.tools, record, directory)
        except BaseException:
            await closing.clean_up(self.tools.manager, record.key, directory)
            raise

    def _check_room(self, key: Key) -> None:
        """Raises ResourceExhausted."""
        most, of_owner = self.settings.max_sessions, self.settings.owner.max_sessions
        if len(self.sessions) + len(self._opening) >= most:
            raise ResourceExhausted(f"strata: max sessions ({most}) reached; close some")
        owned = sum(one.owner == key.owner for one in (*self.sessions, *self._opening))
        if of_owner and owned >= of_owner:
            raise ResourceExhausted(f"strata: max sessions of {key.owner} ({of_owner}) reached; close some")

    async def _open_slice(self, key: Key) -> None:
        if key.owner in self._owners:
            return
        text = render_owner(key.slice, key.owner, self.settings.owner)
        await opening.open_slice(self.tools.manager, key.slice, encode(text, self.tools.systemd_version).properties)
        self._owners.add(key.owner)

    async def _close(self, session: Session, why: str) -> Session | None:
        session.state = State.CLOSING
        try:
            await closing.close(self.tools.manager, self.emptiness, session)
        finally:
            self.forget(session)
        await self.snapshots.release(session, self.sessions.values())
        await self._close_slice(session.key.owner)
        journal.send("sandbox.closed", f"{session.key.label}: {why}", session=session.key.label)
        return None

    def add(self, session: Session) -> None:
        """It is open; from now on its idle time counts."""
        self.sessions[session.key] = session
        self._owners.add(session.key.owner)
        self.life.watch(session)

    def expire(self, session: Session, why: str) -> None:
        """Close it, though nobody asked for it."""
        self._expiring.add(task := asyncio.create_task(self._expire(session, why)))
        task.add_done_callback(self._expiring.discard)

    async def _expire(self, session: Session, why: str) -> None:
        try:
            await self.close(session, why)
        except StrataError as error:
            log.error("cannot close %s: %s", session.key.label, error.message)

    async def close_all(self, why: str) -> None:
        """Close every session, and let go of the slice that all owners' slices are in."""
        for session in tuple(self.sessions.values()):
            self.expire(session, why)
        while self._expiring:
            await asyncio.wait(self._expiring)
        await closing.stop(self.tools.manager, SLICE)

    async def leave(self) -> None:
        """Let go of every session; they go on, for the next room to adopt."""
        while self._changing:
            await asyncio.wait(self._changing.values())
        self.life.close()
        for session in self.sessions.values():
            for part in session.parts.values():
                await part.leave()
            session.handles.close()
        self.sessions.clear()
        self.emptiness.close()
        self.store.close()

    def forget(self, session: Session) -> None:
        """It is gone."""
        if self.sessions.get(session.key) is session:
            del self.sessions[session.key]
            self.life.forget(session)
            self.ranges.give_back(session.record.uid_base)

    async def _close_slice(self, owner: str) -> None:
        """Let go of the slice of an owner who has no session any more."""
        if owner in self._owners and not any(self.of(owner)) and all(key.owner != owner for key in self._opening):
            self._owners.discard(owner)
            await closing.stop(self.tools.manager, owner_slice(owner))


def _make(directory: Path) -> None:
    for _ in range(10):  # the owner's directory is removed with the owner's last session, which may be now
        try:
            directory.mkdir(0o711, parents=True)
            return
        except FileNotFoundError:
            continue
    raise Unavailable(f"cannot make {directory}: it is being removed; try again")

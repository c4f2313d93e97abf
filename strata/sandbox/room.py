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
from strata.errors import Conflict, NotFound, StrataError, Unavailable
from strata.policy.ratelimit import Buckets
from strata.sandbox import closing
from strata.sandbox import record as records
from strata.sandbox.bounds import check_room
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.changes import Changes, told
from strata.sandbox.closing import Remains
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.disks import Disks
from strata.sandbox.ids import SLICE, Key
from strata.sandbox.leftovers import Leftovers
from strata.sandbox.life import Life
from strata.sandbox.opening import Begin, Opening, Tools, make_directory, nothing
from strata.sandbox.params_session import Addressed, CreateParams
from strata.sandbox.permission import allow
from strata.sandbox.ranges import Ranges
from strata.sandbox.record import Record
from strata.sandbox.session import Session, State
from strata.sandbox.slices import Slices
from strata.sandbox.snapshots import Snapshots, Stack
from strata.sandbox.wanted import Fixed, wanted
from strata.sockets.method import Call
from strata.systemd import audit, journal

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
        self.unread: set[Key] = set()  # that run, by records of another version
        self.ranges = Ranges()
        self.snapshots = Snapshots(root / "snapshots", settings.owner)
        self.emptiness = Emptiness()
        self.slices = Slices(tools.manager, settings.owner, tools.systemd_version)
        self.leftovers = Leftovers(self._try_again)
        self.life = Life(lambda session: self.expire(session, f"idle for {session.record.ttl_seconds:g} s"))
        self._changes, self._disks = Changes(), Disks(root / "stock")
        self._opening: set[Key] = set()
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

    async def ensure(self, call: Call, params: Addressed, begin: Begin = nothing) -> Session:
        """As `session`, opening it as the settings say where there is none and the caller may create; then `begin` is
        given it as soon as it can be."""
        key = params.key
        self.allow(call, key.owner)
        found = self.sessions.get(key)
        if found is not None and found.state is not State.CLOSING:
            return found
        return (await self.create(call, CreateParams(owner=key.owner, session=key.session), begin))[0]

    async def create(self, call: Call, params: CreateParams, begin: Begin = nothing) -> tuple[Session, bool]:
        """The session, and whether it is new. Raises StrataError."""
        key = params.key
        self.allow(call, key.owner, "sandbox.create")
        self.tools.primer.prime()  # first of all: whoever asks may have connected long ago
        if key in self.unread:
            raise Conflict(f"cannot open {key.label}: it runs, and its record is of another version of Strata")
        while not await self._absent(key):
            if key in self.sessions:
                return self.sessions[key], False
            await self._make_way(key)
        if self._changes.ending:
            raise Unavailable("cannot open a session: Strata stops; try again later")
        return await self._changes.run(key, self._open(call, params, begin)), True

    async def _make_way(self, key: Key) -> None:
        """Remove what is left of an earlier session. Raises Unavailable."""
        try:
            await self._changes.run(key, self._remove_again(key))
        except StrataError as error:
            said = f"cannot open {key.label}: the one before is not gone yet ({error.message}); try again later"
            raise Unavailable(said) from error

    async def end(self, call: Call, params: Addressed) -> None:
        """Close the session that is meant, or that is about to be opened. Raises NotFound, Unavailable, Internal."""
        key = params.key
        self.allow(call, key.owner)
        if await self._absent(key):
            raise NotFound("session not found")
        if session := self.sessions.get(key):
            await self.close(session, "closed on request")
        else:
            await self._changes.run(key, self._remove_again(key))

    async def close(self, session: Session, why: str) -> None:
        """End everything in it; returns when no process and no file of it is left. Closing twice waits for the first.
        Raises Unavailable or Internal; then what remains is tried again."""
        key = session.key
        if await self._absent(key):
            return
        if self.sessions.get(key) is session:
            await self._changes.run(key, self._close(session, why))
        elif (remains := self.leftovers.get(key)) and remains.record == session.record:
            await self._changes.run(key, self._remove_again(key))

    def change(self, session: Session, record: Record) -> None:
        """Give a session another record."""
        with durable.told(f"change {session.key.label}"):
            records.save(session.directory, record)
        session.record = record
        self.life.watch(session)

    def ended(self, key: Key) -> None:
        """systemd says that a session's scope is no more: its lifetime is over, or somebody stopped it."""
        if key in self.unread:
            self.unread.discard(key)
            self._changes.start(self.discard(Remains(key, self.directory(key))))
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

    async def _absent(self, key: Key) -> bool:
        """Whether nothing is of that name, once nothing is about to change that."""
        await self._changes.settled(key)
        return key not in self.sessions and key not in self.leftovers

    async def _open(self, call: Call, params: CreateParams, begin: Begin) -> Session:
        key = params.key
        taken = {*self.sessions, *self._opening, *self.leftovers, *self.unread}
        check_room(key, taken, self.settings)
        self._opening.add(key)
        try:
            with self.snapshots.used(key.owner, params.from_snapshot) as stack:
                session = await self._open_on(stack, call, params, begin)
        finally:
            self._opening.discard(key)
        journal.send(
            "sandbox.created",
            f"{key.label}: opened for {audit.subject(call)} ({session.record.driver}, {session.record.network})",
            session=key.label,
            subject=audit.subject(call),
        )
        return session

    async def _open_on(self, stack: Stack, call: Call, params: CreateParams, begin: Begin) -> Session:
        first = self.ranges.take() if self.mapped else os.geteuid()
        try:
            fixed = Fixed(first, self.mapped, call.claims is None, stack.layers, stack.base)
            record = wanted(params, self.settings, fixed)
        except BaseException:
            self.ranges.give_back(first)
            raise
        async with self._turns:
            return await self._open_in(self.directory(record.key), record, begin)

    async def _open_in(self, directory: Path, record: Record, begin: Begin) -> Session:
        attempt = Opening(self.tools, record, directory, self.slices.enter(record.owner))
        try:
            with durable.told(f"open {record.key.label}"):
                make_directory(directory)
                records.save(directory, record)  # before anything runs as its users, it is known who they are
                session = await attempt.run(begin)
        except BaseException:
            await told(self._remove(Remains(record.key, directory, record, attempt.scope)))
            raise
        self.add(session)
        self._changes.start(self._disks.restock(record))
        return session

    async def _close(self, session: Session, why: str) -> None:
        session.state = State.CLOSING
        self.life.forget(session)
        try:
            await self._remove(await closing.end(session))
        finally:
            del self.sessions[session.key]
        journal.send("sandbox.closed", f"{session.key.label}: {why}", session=session.key.label)

    async def _remove(self, remains: Remains) -> None:
        """Make it be gone, with all that was set aside for it. Raises Unavailable or Internal; then it is kept."""
        try:
            await closing.remove(self.tools.manager, self.emptiness, remains)
        except StrataError:
            self.leftovers.keep(remains)
            raise
        self.leftovers.forget(remains.key)
        await self.slices.leave(remains.key.owner)
        if remains.record:
            self.ranges.give_back(remains.record.uid_base)
            others = [one for one in self.sessions.values() if one.key != remains.key]
            await self.snapshots.release(remains.record.layers, others)

    async def _remove_again(self, key: Key) -> None:
        remains = self.leftovers.get(key)
        assert remains is not None
        await self._remove(remains)
        journal.send("sandbox.closed", f"{key.label}: what was left of it is gone", session=key.label)

    # --- what nobody asked for

    def add(self, session: Session) -> None:
        """It is open; from now on its idle time counts."""
        self.sessions[session.key] = session
        self.life.watch(session)
        self.ended(session.key)  # should it have been so already, nobody would tell us again

    def take_back(self, session: Session) -> None:
        """A former room opened it."""
        self.slices.claim(session.key.owner)
        self.ranges.claim(session.record.uid_base)
        self.add(session)

    def leave_alone(self, key: Key, uid_base: int) -> None:
        """It runs, and nothing more can be known of it here. It is removed once it has ended."""
        self.slices.claim(key.owner)
        self.ranges.claim(uid_base)
        self.unread.add(key)

    async def discard(self, remains: Remains) -> None:
        """What a former room left behind is to be gone: tried now, and again until it is."""
        self.slices.claim(remains.key.owner)
        if remains.record:
            self.ranges.claim(remains.record.uid_base)
        await told(self._changes.run(remains.key, self._remove(remains)))

    def expire(self, session: Session, why: str) -> None:
        """Close it, though nobody asked for it."""
        if not self._changes.ending:
            self._changes.start(self.close(session, why))

    def _try_again(self, key: Key) -> None:
        if key not in self._changes and not self._changes.ending:
            self._changes.start(self._changes.run(key, self._remove_again(key)))

    # --- the end

    async def close_all(self, why: str) -> None:
        """Close every session, and let go of the slice that all owners' slices are in."""
        await self._changes.end()
        for session in tuple(self.sessions.values()):
            self._changes.start(self.close(session, why))
        for key in tuple(self.leftovers):
            self._changes.start(self._changes.run(key, self._remove_again(key)))
        await self._changes.end()
        self._changes.start(closing.stop(self.tools.manager, SLICE))
        await self._changes.end()
        self._let_go()

    async def leave(self) -> None:
        """Let go of every session; they go on, for the next room to adopt."""
        await self._changes.end()
        for session in self.sessions.values():
            for part in session.parts.values():
                await part.leave()
            session.entrance.close()
        self.sessions.clear()
        self._let_go()

    def _let_go(self) -> None:
        for part in (self.life, self.leftovers, self.slices, self.emptiness, self.store):
            part.close()

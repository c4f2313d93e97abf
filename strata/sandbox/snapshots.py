# SPDX-License-Identifier: MIT
"""Snapshots: copies of what sessions wrote, which others are stacked on and nobody changes any more.

One directory each, `snapshots/OWNER/NAME`, with the layer in `upper` and what is known of it in `snapshot.json`; ids
are names of files that can lead nowhere else. One that is being made has another name, `.SESSION.new`, or
`.SESSION.new-thaw` while the session stands still for it; what has such a name at a start was never finished.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from strata import durable, values
from strata.config import OwnerSettings
from strata.errors import UNREADABLE, Conflict, NotFound, ResourceExhausted
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.files import removing
from strata.sandbox.ids import check
from strata.sandbox.pausing import paused, thaw
from strata.sandbox.session import Session, State

log = logging.getLogger(__name__)
FILE = "snapshot.json"
UNFINISHED = ".new"
THAW = ".new-thaw"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it was taken. `parents`: those it is stacked on, the nearest first; `implicit`: made for a fork,
    and gone with the last session on it."""

    owner: str
    name: str
    session: str
    created_at: float
    size: int
    files: int
    base: str
    template: str = ""
    parents: tuple[str, ...] = ()
    implicit: bool = False


class Stack(msgspec.Struct, frozen=True):
    """What a session is opened on: directories of layers, the topmost first, and the base below; None: not chosen."""

    layers: tuple[str, ...] = ()
    base: str | None = None


class Snapshots:
    """All snapshots below `root`."""

    def __init__(self, root: Path, limits: OwnerSettings) -> None:
        self.root, self.limits = root, limits
        self._opening: Counter[str] = Counter()  # layers of sessions that are being opened

    def of(self, owner: str) -> list[Snapshot]:
        """An owner's snapshots, by name."""
        found = (self._load(path) for path in sorted(self._names(self.root / owner)))
        return [one for one in found if one is not None]

    def get(self, owner: str, name: str) -> Snapshot:
        """One snapshot. Raises InvalidArgument, NotFound."""
        found = self._load(self._place(owner, name))
        if found is None:
            raise NotFound(f"snapshot {name[:80]!r} not found")
        return found

    @contextlib.contextmanager
    def used(self, owner: str, name: str | None) -> Iterator[Stack]:
        """What a session from that snapshot is stacked on; nobody can remove it while inside. Raises as `get`."""
        if name is None:
            yield Stack()
            return
        found = self.get(owner, name)
        stack = Stack(tuple(str(self._place(owner, one)) for one in (name, *found.parents)), found.base)
        self._opening.update(stack.layers)
        try:
            yield stack
        finally:
            self._opening.subtract(stack.layers)

    async def take(self, session: Session, name: str, emptiness: Emptiness, implicit: bool = False) -> Snapshot:
        """Copy what the session wrote, while it stands still. Raises Conflict, ResourceExhausted.

        Answers when it is on the disk under its name; else nothing of it is left.
        """
        owner = session.key.owner
        place = self._place(owner, name)
        room = self._room(owner, implicit)
        if place.exists():
            raise Conflict(f"snapshot {name} is there already; remove it, or choose another name")
        with durable.told(f"take the snapshot {name}"):
            unfinished = self._begin(session, place)
            try:
                async with paused(session, emptiness):
                    copied = await self._copy(session, unfinished, room)
                made = _described(session, place, copied, implicit)
                durable.replace(unfinished / FILE, msgspec.json.encode(made))
                _publish(unfinished, place)
                return made
            finally:
                await self._erase(unfinished)

    def _begin(self, session: Session, place: Path) -> Path:
        self.root.mkdir(0o700, parents=True, exist_ok=True)
        unfinished = [place.with_name(f".{session.key.session}{end}") for end in (THAW, UNFINISHED)]
        if any(path.exists() for path in unfinished):
            raise Conflict(f"a snapshot of {session.key.label} is being taken already; wait for it")
        chosen = unfinished[session.state is State.FROZEN]
        chosen.mkdir(0o700, parents=True)
        (chosen / "upper").mkdir(0o755)
        return chosen

    async def _copy(self, session: Session, unfinished: Path, room: int) -> dict[str, int]:
        fd = os.open(unfinished / "upper", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            wanted = {"init_pid": session.record.init_pid, "most_bytes": room}
            return await session.work_on_layers("snapshot", wanted, [fd])
        finally:
            os.close(fd)

    async def remove(self, owner: str, name: str, sessions: Iterable[Session]) -> None:
        """Remove a snapshot that nothing is stacked on. Raises NotFound, Conflict."""
        found = self.get(owner, name)
        users = self._users(owner, name, sessions)
        if users:
            raise Conflict(f"cannot remove the snapshot {name}: {', '.join(users[:8])} stand on it", users=users[:64])
        place = self._place(owner, name)
        gone = place.with_name(f".{name}.{secrets.token_hex(4)}{UNFINISHED}")
        with durable.told(f"remove the snapshot {name}"):
            place.rename(gone)  # from here on nobody finds it, however long the rest takes
            if not found.implicit:  # somebody is told so, and must not find it again after a power cut
                await asyncio.to_thread(durable.sync_directory, place.parent)
        await self._erase(gone)
        for parent in found.parents:
            await self.drop(owner, parent, sessions)

    async def release(self, layers: Iterable[str], sessions: list[Session]) -> None:
        """A session on these layers is gone, `sessions` are left: so are the snapshots that were made for forks, once
        nothing stands on them."""
        for layer in layers:
            await self._drop_implicit(Path(layer), sessions)

    async def sweep(self, sessions: Iterable[Session]) -> None:
        """At a start: remove what was never finished, and what only sessions needed that did not outlive it."""
        remaining = list(sessions)
        for owner in list(self.root.iterdir()) if self.root.is_dir() else ():
            for path in list(owner.iterdir()):
                if path.name.startswith("."):
                    _go_on(owner.name, path.name, remaining)
                    await self._erase(path)
            for one in sorted(self.of(owner.name), key=lambda one: len(one.parents), reverse=True):
                await self._drop_implicit(self._place(one.owner, one.name), remaining)

    async def _drop_implicit(self, place: Path, sessions: list[Session]) -> None:
        found = self._load(place)
        if found and found.implicit and not self._users(found.owner, found.name, sessions):
            await self.remove(found.owner, found.name, sessions)

    async def drop(self, owner: str, name: str, sessions: Iterable[Session]) -> None:
        """Remove a snapshot that was made for a fork, unless something stands on it."""
        await self._drop_implicit(self._place(owner, name), list(sessions))

    # ---

    def _users(self, owner: str, name: str, sessions: Iterable[Session]) -> list[str]:
        layer = str(self._place(owner, name))
        users = [one.key.session for one in sessions if layer in one.record.layers]
        users += [f"snapshot {one.name}" for one in self.of(owner) if name in one.parents]
        return users + (["a session that is being opened"] if self._opening[layer] > 0 else [])

    def _room(self, owner: str, implicit: bool) -> int:
        """Bytes that a further snapshot may take. Raises ResourceExhausted."""
        there = self.of(owner)
        if not implicit and sum(not one.implicit for one in there) >= self.limits.max_snapshots:
            raise ResourceExhausted(f"{owner} has {self.limits.max_snapshots} snapshots, the most; remove some")
        return max(0, values.size(self.limits.snapshots_max) - sum(one.size for one in there))

    def _place(self, owner: str, name: str) -> Path:
        return self.root / check(owner, "owner_id") / check(name, "name")

    def _names(self, directory: Path) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError):
            yield from (path for path in directory.iterdir() if not path.name.startswith("."))

    def _load(self, place: Path) -> Snapshot | None:
        try:
            return msgspec.json.decode((place / FILE).read_bytes(), type=Snapshot)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:  # damaged, or of another version: not shown, and not removed
            log.error("cannot read %s: %s", place / FILE, error)
            return None

    async def _erase(self, path: Path) -> None:
        await asyncio.to_thread(removing.erase, path)
        with contextlib.suppress(OSError):  # the owner has others
            path.parent.rmdir()


def _described(session: Session, place: Path, copied: dict[str, int], implicit: bool) -> Snapshot:
    return Snapshot(
        owner=place.parent.name,
        name=place.name,
        session=session.key.session,
        created_at=time.time(),
        size=copied["size"],
        files=copied["files"],
        base=session.record.base,
        template=session.record.template,
        parents=tuple(Path(layer).name for layer in session.record.layers),
        implicit=implicit,
    )


def _publish(unfinished: Path, place: Path) -> None:
    try:
        unfinished.rename(place)  # a directory that is not empty is never replaced (rename(2))
    except OSError as error:
        raise Conflict(f"snapshot {place.name} is there already; remove it, or choose another name") from error
    durable.sync_directory(place.parent)


def _go_on(owner: str, unfinished: str, sessions: Iterable[Session]) -> None:
    """Thaw a session that was held still by a room that has died since."""
    for session in sessions:
        if (owner, unfinished) == (session.key.owner, f".{session.key.session}{THAW}"):
            thaw(session)
            session.state = State.OPEN

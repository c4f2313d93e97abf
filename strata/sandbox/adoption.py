# SPDX-License-Identifier: MIT
"""After a restart: sessions that live are taken back, what is left of others goes.

What there is comes from the records on disk, from systemd's scopes and from the kernel. A session lives when all
three agree; whatever only one of them knows is removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from strata.errors import StrataError
from strata.sandbox import closing, record
from strata.sandbox.cgroup import Group
from strata.sandbox.closing import Remains
from strata.sandbox.entrance import Entrance
from strata.sandbox.ids import Key, key, of_scope
from strata.sandbox.record import Record, Unread
from strata.sandbox.room import Room
from strata.sandbox.session import Groups, Session, State
from strata.systemd import journal

log = logging.getLogger(__name__)
SCOPES, SLICES = "strata-sandbox-*.scope", "strata-sandbox-*.slice"
AT_ONCE = 8


async def adopt(room: Room) -> None:
    """Make the room know what is, and remove what is no session. Raises StrataError when systemd does not answer."""
    manager, scopes = room.tools.manager, _scopes(room)
    remains = {one.key: one for one in _take_back(room, scopes)}
    for unit in await manager.units(SCOPES):
        name = of_scope(unit)
        if name is None:
            log.warning("%s belongs to no session: stopping it", unit)
            await closing.stop(manager, unit)
        elif name not in room.sessions and name not in remains and name not in room.unread:
            remains[name] = Remains(name, room.directory(name), scope=scopes.get(unit))
    await _discard(room, list(remains.values()))
    for unit in await manager.units(SLICES):
        if unit not in room.slices:
            log.warning("%s belongs to no owner of sessions: stopping it", unit)
            await closing.stop(manager, unit)
    if not room.unread:  # nobody knows what those stand on
        await room.snapshots.sweep(room.sessions.values())


def _take_back(room: Room, scopes: dict[str, Group]) -> Iterator[Remains]:
    """Give the room the sessions that live; what is left of the others."""
    for directory, name in list(_directories(room.root / "sessions")):
        loaded = record.load(directory)
        if isinstance(loaded, Unread) and record.still_runs(loaded):
            log.error(
                "cannot take %s back: its record is of another version of Strata; it is left as it is until its "
                "lifetime is over, or until `systemctl stop %s`",
                *(name.label, name.scope),
            )
            room.leave_alone(name, loaded.uid_base)
            continue
        known = loaded if isinstance(loaded, Record) and loaded.key == name else None
        session = _living(room, directory, known) if known else None
        if session:
            (directory / record.FILE).chmod(record.MODE)  # others could read what older versions wrote
            room.take_back(session)
            journal.send("sandbox.adopted", f"{name.label}: taken back", session=name.label)
        else:
            log.warning("%s does not live any more: removing what is left of it", name.label)
            yield Remains(name, directory, known, scopes.get(name.scope))


async def _discard(room: Room, remains: list[Remains]) -> None:
    """A few at a time: after a crash of the machine there may be hundreds."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(each: Remains) -> None:
        async with turns:
            await room.discard(each)

    await asyncio.gather(*map(one, remains))


def _directories(root: Path) -> Iterator[tuple[Path, Key]]:
    for owner in sorted(root.iterdir()) if root.is_dir() else ():
        for directory in sorted(owner.iterdir()) if owner.is_dir() else ():
            with contextlib.suppress(StrataError):
                yield directory, key(owner.name, directory.name)


def _living(room: Room, directory: Path, known: Record) -> Session | None:
    """The session, if its first process is the one that was recorded and is where it belongs."""
    if not known.init_pid:
        return None  # it was being opened
    with contextlib.ExitStack() as undo:
        try:
            init = os.pidfd_open(known.init_pid)
            undo.callback(os.close, init)
            scope = room.tools.layout.group_of(known.init_pid, known.key.scope)
            if scope is None or not record.still_runs(known):
                return None
            # Nobody inside can put something else there: it is a mount, and they may not mount.
            exchange = os.open(f"/proc/{known.init_pid}/root/run/strata", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, exchange)
            groups = Groups(scope, scope.make("payload"), scope.make("keepers"), _beside(room, known))
        except OSError as error:
            log.warning("cannot take %s back: %s", known.key.label, error)
            return None
        undo.pop_all()
    session = Session(known, directory, groups, Entrance(exchange, init), room.tools.launcher)
    if groups.payload.frozen:
        session.state = State.FROZEN
    return session


def _beside(room: Room, known: Record) -> tuple[str, ...]:
    return room.tools.layout.beside(known.init_pid, known.key.scope)


def _scopes(room: Room) -> dict[str, Group]:
    """Where the processes of each scope are, whoever of them is left; found in one walk."""
    found = {}
    for path, names, _ in os.walk(room.tools.layout.tree):
        for name in names:
            if of_scope(name):
                found[name] = Group(Path(path, name))
        names[:] = [name for name in names if name not in found]
    return found

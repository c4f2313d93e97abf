# SPDX-License-Identifier: MIT
"""After a restart: sessions that live are taken back, what is left of others goes.

What there is comes from the records on disk, from systemd's scopes and from the kernel. A session lives when all
three agree; whatever only one of them knows is removed.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from strata.errors import StrataError
from strata.sandbox import closing, record
from strata.sandbox.cgroup import Group
from strata.sandbox.ids import Key, key
from strata.sandbox.record import Record
from strata.sandbox.room import Room
from strata.sandbox.session import Groups, Handles, Session, State
from strata.systemd import journal

log = logging.getLogger(__name__)
SCOPES, SLICES = "strata-sandbox-*.scope", "strata-sandbox-*.slice"
KILL_SECONDS = 10.0


async def adopt(room: Room) -> None:
    """Make the room know what is, and remove what is no session. Raises StrataError when systemd does not answer."""
    for directory, name in list(_directories(room.root / "sessions")):
        known = record.load(directory)
        session = _living(room, directory, known) if known and known.key == name else None
        if session:
            room.ranges.claim(session.record.uid_base)
            room.add(session)
            journal.send("sandbox.adopted", f"{name.label}: taken back", session=name.label)
        else:
            await _remove(room, name, directory)
    ours = {unit for name in room.sessions for unit in (name.scope, name.slice)}
    manager = room.tools.manager
    for unit in (*await manager.units(SCOPES), *await manager.units(SLICES)):
        if unit not in ours:
            log.warning("%s belongs to no session: stopping it", unit)
            await closing.stop(manager, unit)
    await room.snapshots.sweep(room.sessions.values())


def _directories(root: Path) -> Iterator[tuple[Path, Key]]:
    for owner in sorted(root.iterdir()) if root.is_dir() else ():
        for directory in sorted(owner.iterdir()) if owner.is_dir() else ():
            with contextlib.suppress(StrataError):
                yield directory, key(owner.name, directory.name)


def _living(room: Room, directory: Path, known: Record) -> Session | None:
    """The session, if its first process is the one that was recorded and is where it belongs."""
    if not record.still_runs(known):
        return None
    scope = room.tools.layout.group_of(known.init_pid, known.key.scope)
    if scope is None:
        return None
    try:
        init = os.pidfd_open(known.init_pid)
    except OSError:
        return None
    try:
        # Nobody inside can put something else there: it is a mount, and they may not mount.
        exchange = os.open(f"/proc/{known.init_pid}/root/run/strata", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        os.close(init)
        return None
    beside = room.tools.layout.beside(known.init_pid, known.key.scope)
    groups = Groups(scope, scope.make("payload"), scope.make("keepers"), beside)
    session = Session(known, directory, groups, Handles(init, exchange), room.tools.launcher)
    if groups.payload.frozen:
        session.state = State.FROZEN
    return session


async def _remove(room: Room, name: Key, directory: Path) -> None:
    log.warning("%s does not live any more: removing what is left of it", name.label)
    group = _group_of_scope(room, name)
    if group:
        group.kill()
        await room.emptiness.wait(group, KILL_SECONDS)
    try:
        await closing.clean_up(room.tools.manager, name, directory)
    except StrataError as error:
        log.error("%s; it is tried again at the next start", error.message)


def _group_of_scope(room: Room, name: Key) -> Group | None:
    """Where systemd keeps its processes: slices nest by their dashes (systemd.slice(5))."""
    for path in room.tools.layout.tree.glob(f"**/{_literal(name.slice)}/{_literal(name.scope)}"):
        return Group(path)
    return None


def _literal(text: str) -> str:
    return text.replace("\\", "[\\]")

# SPDX-License-Identifier: MIT
"""The methods on a session's layers: what has changed, archives, snapshots, forks."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from strata.errors import Conflict, InvalidArgument
from strata.sandbox.handlers_files import record
from strata.sandbox.ids import key
from strata.sandbox.params_files import DiffParams, ExportParams, cursor
from strata.sandbox.params_layers import ForkParams, SnapshotParams, SnapshotsParams
from strata.sandbox.params_session import CreateParams
from strata.sandbox.room import Room
from strata.sandbox.session import Session
from strata.sandbox.shown import description, moment
from strata.sandbox.snapshots import Snapshot
from strata.sockets.method import Call, Method
from strata.types import Access


async def diff(room: Room, call: Call, params: DiffParams) -> dict[str, Any]:
    """What a session has changed against what it was opened on."""
    session = room.session(call, params)
    return await session.work_on_layers("diff", cursor(params) | _init(session))


async def export(room: Room, call: Call, params: ExportParams) -> dict[str, Any]:
    """A tar archive of a session's root, of a path in it, or of its changes, into the descriptor that came."""
    session = room.session(call, params)
    if len(call.descriptors) != 1:
        raise InvalidArgument("pass one descriptor, for the archive")
    named = bool(params.path or params.path_b64)
    if named and params.changes:
        raise InvalidArgument("give a path or changes, not both", param="changes")
    wanted = (params.place if named else {}) | {"changes": params.changes, "attributes": params.attributes}
    done = await session.work_on_layers("export", wanted | _init(session), call.descriptors)
    record(call, session, params.path or "/", f"{done['size']} bytes")
    return done


async def snapshot(room: Room, call: Call, params: SnapshotParams) -> dict[str, Any]:
    """Keep what a session wrote under a name, for others to start from. The session stands still meanwhile."""
    session = room.session(call, params)
    taken = await room.snapshots.take(session, params.name, room.emptiness)
    record(call, session, taken.name, f"{taken.size} bytes")
    return _shown(taken)


def snapshots(room: Room, call: Call, params: SnapshotsParams) -> dict[str, Any]:
    """An owner's snapshots."""
    owner = params.whose
    room.allow(call, owner)
    return {"snapshots": [_shown(one) for one in room.snapshots.of(owner)]}


async def remove_snapshot(room: Room, call: Call, params: SnapshotParams) -> dict[str, str]:
    """Remove a snapshot that no session and no other snapshot stands on."""
    owner = params.whose
    room.allow(call, owner)
    await room.snapshots.remove(owner, params.name, room.sessions.values())
    return {"status": "removed"}


async def fork(room: Room, call: Call, params: ForkParams) -> dict[str, Any]:
    """A new session that starts with the files of a snapshot, or of another session as it is now."""
    to = key(params.whose, params.to_session)
    room.allow(call, to.owner)
    if to in room.sessions:
        raise Conflict(f"{to.label} is there already; close it, or choose another name")
    if params.snapshot:
        return await _open(room, call, _plain(params, params.snapshot))
    source = room.session(call, params)
    name = f"fork-{secrets.token_hex(12)}"
    await room.snapshots.take(source, name, room.emptiness, implicit=True)
    try:
        return await _open(room, call, _alike(params, name, source))
    finally:
        await room.snapshots.drop(to.owner, name, room.sessions.values())  # unless something stands on it now


async def _open(room: Room, call: Call, wanted: CreateParams) -> dict[str, Any]:
    session, created = await room.create(call, wanted)
    if not created:
        raise Conflict(f"{session.key.label} is there already; close it, or choose another name")
    return description(session)


def _plain(params: ForkParams, name: str, **more: Any) -> CreateParams:
    return CreateParams(
        owner=params.whose,
        session=params.to_session,
        from_snapshot=name,
        labels=params.labels,
        lifetime=params.lifetime,
        **{"env": params.env, "ttl": params.ttl, **more},
    )


def _alike(params: ForkParams, name: str, source: Session) -> CreateParams:
    """What the old session was opened with counts for the new one, where the call does not say otherwise."""
    old = source.record
    return _plain(
        params,
        name,
        env={**old.env, **(params.env or {})},
        ttl=params.ttl or (f"{old.ttl_seconds}s" if old.ttl_seconds else "infinity"),
        template=old.template or None,
        network=old.network,
        driver=old.driver,
        limits=msgspec.to_builtins(old.limits),
    )


def _init(session: Session) -> dict[str, int]:
    return {"init_pid": session.record.init_pid}


def _shown(one: Snapshot) -> dict[str, Any]:
    return {
        "name": one.name,
        "owner": one.owner,
        "session": one.session,
        "created_at": moment(one.created_at),
        "size": one.size,
        "files": one.files,
        "base": one.base,
        "template": one.template,
        "parents": list(one.parents),
        "implicit": one.implicit,
    }


METHODS = (
    Method("sandbox.diff", Access.TOKEN, DiffParams, diff, "what a session has changed", cancel=True, finish=True),
    Method("sandbox.export", Access.TOKEN, ExportParams, export, "a tar archive of a session's files", cancel=True),
    Method("sandbox.snapshot", Access.TOKEN, SnapshotParams, snapshot, "keep what a session wrote under a name"),
    Method("sandbox.snapshots", Access.TOKEN, SnapshotsParams, snapshots, "an owner's snapshots"),
    Method("sandbox.remove_snapshot", Access.TOKEN, SnapshotParams, remove_snapshot, "remove a snapshot"),
    Method("sandbox.fork", Access.TOKEN, ForkParams, fork, "a new session with the files of a snapshot or session"),
)

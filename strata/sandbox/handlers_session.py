# SPDX-License-Identifier: MIT
"""The methods on whole sessions."""

from __future__ import annotations

from typing import Any

import msgspec

from strata.errors import Conflict, InvalidArgument
from strata.policy.capability import EVERYBODY
from strata.sandbox import pausing, usage
from strata.sandbox.params_session import Addressed, CreateParams, ExtendParams, ListParams
from strata.sandbox.room import Room
from strata.sandbox.session import State
from strata.sandbox.shown import description, summary
from strata.sandbox.wanted import seconds
from strata.sockets.method import Call, Empty, Method
from strata.types import Access


async def create(room: Room, call: Call, params: CreateParams) -> dict[str, Any]:
    """A session; the one that is there if there is one."""
    session, created = await room.create(call, params)
    return summary(session) | {"created": created}


def list_sessions(room: Room, call: Call, params: ListParams) -> dict[str, Any]:
    """The open sessions that the caller may see."""
    owner = params.owner or None
    if owner is None and call.claims is not None and call.claims.owner != EVERYBODY:
        owner = call.claims.owner
    room.allow(call, owner)
    if params.state not in (None, "", State.OPEN, State.FROZEN):
        raise InvalidArgument("state must be open or frozen", param="state")
    labels = (params.labels or {}).items()
    found = [
        description(one)
        for one in room.of(owner)
        if labels <= one.record.labels.items() and params.state in (None, "", one.state)
    ]
    return {"sessions": sorted(found, key=lambda one: (one["owner"], one["session"]))}


def describe(room: Room, call: Call, params: Addressed) -> dict[str, Any]:
    """One session, with what it does and uses."""
    session = room.session(call, params)
    return description(session) | {"usage": usage.of(session)}


def use(room: Room, call: Call, params: Addressed) -> dict[str, Any]:
    """What a session uses."""
    return usage.of(room.session(call, params))


async def close(room: Room, call: Call, params: Addressed) -> dict[str, str]:
    """End a session; answered when no process and no file of it is left."""
    await room.end(call, params)
    return {"status": "closed"}


def extend(room: Room, call: Call, params: ExtendParams) -> dict[str, Any]:
    """Begin its idle time anew, and make it longer or shorter if `ttl` says so."""
    session = room.session(call, params)
    if params.lifetime:
        raise Conflict("cannot change the lifetime: PID 1 holds it since the session was opened; open another one")
    session.touch()
    if params.ttl:
        room.change(session, msgspec.structs.replace(session.record, ttl_seconds=seconds("ttl", params.ttl)))
    return description(session)


async def freeze(room: Room, call: Call, params: Addressed) -> dict[str, Any]:
    """Stop everything in a session where it is; it uses no cpu until it is thawed."""
    session = room.session(call, params)
    session.state = State.FROZEN  # nothing new is started from here on
    await pausing.freeze(session, room.emptiness)
    return description(session)


async def thaw(room: Room, call: Call, params: Addressed) -> dict[str, Any]:
    """Let a frozen session go on."""
    session = room.session(call, params)
    pausing.thaw(session)
    session.state = State.OPEN
    session.touch()
    return description(session)


def stats(room: Room, call: Call, _params: Empty) -> dict[str, int]:
    """How many sessions there are, and may be."""
    room.allow(call, None)
    return {"active_sessions": len(room.sessions), "max_sessions": room.settings.max_sessions}


def templates(room: Room, call: Call, _params: Empty) -> dict[str, Any]:
    """The templates of the settings."""
    room.allow(call, None)
    return {
        "templates": [
            {"name": name, "description": one.description, "limits": one.limits, "network": one.network, "ttl": one.ttl}
            for name, one in sorted(room.settings.templates.items())
        ]
    }


METHODS = (
    Method("sandbox.create", Access.TOKEN, CreateParams, create, "open a session, or find the one that is open"),
    Method("sandbox.list", Access.TOKEN, ListParams, list_sessions, "the open sessions"),
    Method("sandbox.describe", Access.TOKEN, Addressed, describe, "one session: settings, activity, usage"),
    Method("sandbox.usage", Access.TOKEN, Addressed, use, "cpu, memory, tasks, io and disk of a session"),
    Method("sandbox.close", Access.TOKEN, Addressed, close, "end a session and remove its files"),
    Method("sandbox.extend", Access.TOKEN, ExtendParams, extend, "give a session another idle time"),
    Method("sandbox.freeze", Access.TOKEN, Addressed, freeze, "stop everything in a session where it is"),
    Method("sandbox.thaw", Access.TOKEN, Addressed, thaw, "let a frozen session go on"),
    Method("sandbox.stats", Access.TOKEN, Empty, stats, "number of sessions"),
    Method("sandbox.templates", Access.TOKEN, Empty, templates, "named ways to open sessions"),
)

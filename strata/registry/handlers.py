# SPDX-License-Identifier: MIT
"""The methods of the registry. Names resolve for everybody; only operators change them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from strata.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted, StrataError
from strata.registry import endpoint
from strata.registry.hold import Hold
from strata.registry.table import Entry, Table
from strata.sockets.method import Call, Empty, Method
from strata.systemd import audit, journal
from strata.types import Access

log = logging.getLogger(__name__)
MAX_NAME = 255
MAX_OF_A_HOLDER = 64
"""Entries of one uid that is no operator and registers by a token."""

MAX_LEASE = 365 * 86_400  # seconds


class Room(NamedTuple):
    """What the handlers share."""

    table: Table
    hold: Hold


class RegisterParams(msgspec.Struct, frozen=True):
    """registry.register."""

    service: Annotated[str, Meta(description="name of the service, at most 255 characters")]
    endpoint: Annotated[str, Meta(description="unix:///path, tcp://host:port, tcp://[v6]:port or /path")]
    api_v: Annotated[float, Meta(description="version of the service's own methods, from 1; truncated")] = 1
    unit: Annotated[str | None, Meta(description="systemd unit whose leaving Healthy ends the registration")] = None
    lease_seconds: Annotated[float | None, Meta(description="ends it unless registered again within so long")] = None


class UnregisterParams(msgspec.Struct, frozen=True):
    """registry.unregister: one of the two."""

    service: Annotated[str | None, Meta(description="name of the service to forget")] = None
    unit: Annotated[str | None, Meta(description="forget all that was registered for this unit")] = None


class ResolveParams(msgspec.Struct, frozen=True):
    """registry.resolve."""

    service: Annotated[str, Meta(description="name of the service")]


def register(room: Room, call: Call, params: RegisterParams) -> dict[str, str]:
    """Add a service or replace it. Raises InvalidArgument, PermissionDenied, ResourceExhausted."""
    _name("service", params.service)
    endpoint.parse(params.endpoint)
    if params.unit is not None:
        _name("unit", params.unit)
    _may_touch(room, call, params.service)
    _has_room(room, call, params.service)
    entry = Entry(
        params.service,
        params.endpoint,
        _version(params.api_v),
        call.peer.uid,
        params.unit,
        room.table.deadline(_lease(params.lease_seconds)),
    )
    room.table.put(entry)
    _audit(call, "svc.registered", entry)
    return {"status": "registered"}


def unregister(room: Room, call: Call, params: UnregisterParams) -> dict[str, str]:
    """Forget a service, or all of a unit. Raises InvalidArgument, NotFound, PermissionDenied, ResourceExhausted."""
    if bool(params.service) == bool(params.unit):
        raise InvalidArgument("missing service param" if not params.service else "give service or unit, not both")
    if params.service:
        _may_touch(room, call, params.service)
        gone = [room.table.remove(params.service)]
    else:
        gone = _remove_unit(room, call, params.unit or "")
    for entry in gone:
        _audit(call, "svc.unregistered", entry)
    return {"status": "unregistered"}


def complete(room: Room, _call: Call, _params: Empty) -> dict[str, str]:
    """The supervisor has registered all that it knows: what is unknown now is not registered."""
    room.hold.end()
    return {"status": "complete"}


def resolve(room: Room, _call: Call, params: ResolveParams) -> dict[str, Any] | Awaitable[dict[str, Any]]:
    """Where a service answers. Raises NotFound, after the hold of a registry that has lost its table."""
    try:
        return room.table.answer(params.service)
    except NotFound:
        if room.hold.over:
            raise
    return _resolve_later(room, params.service)


async def _resolve_later(room: Room, service: str) -> dict[str, Any]:
    await room.hold.wait()
    return room.table.answer(service)


def list_services(room: Room, _call: Call, _params: Empty) -> dict[str, Any] | Awaitable[dict[str, Any]]:
    """Every service whose lease has not run out, by name; after the hold."""
    return _listed(room) if room.hold.over else _list_later(room)


async def _list_later(room: Room) -> dict[str, Any]:
    await room.hold.wait()
    return _listed(room)


def _listed(room: Room) -> dict[str, Any]:
    return {"services": [{"service": entry.service, **room.table.shown(entry)} for entry in room.table.live()]}


async def reap(table: Table, period: float = 1.0) -> None:
    """Forget what has expired, for ever; it is hidden from the moment it expires, this only frees and records it."""
    while True:
        await asyncio.sleep(period)
        try:
            gone = table.expire()
        except StrataError as error:
            log.warning("%s", error.message)  # no room for the smaller table; next time
            continue
        for entry in gone:
            journal.send("svc.unregistered", f"{entry.service}: its lease ran out", resource=entry.service)


def _name(param: str, value: str) -> None:
    if not 0 < len(value) <= MAX_NAME or not value.isprintable():
        raise InvalidArgument(f"cannot use the {param}: it must have 1 to {MAX_NAME} printable characters", param=param)


def _version(given: float) -> int:
    """The reference's leniency: 0 means 1 and a fraction is cut off (spec 1.7)."""
    if not 0 <= given < 2**31:
        raise InvalidArgument("api_v must be a number from 1 to 2147483647", param="api_v")
    return int(given) or 1


def _lease(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= MAX_LEASE:
        raise InvalidArgument(f"lease_seconds must be more than 0 and at most {MAX_LEASE}", param="lease_seconds")
    return seconds


def _may_touch(room: Room, call: Call, service: str) -> None:
    """A token lets a service keep its own entry; taking over another user's takes an operator (vector 023)."""
    if call.claims is None:
        return
    try:
        owner = room.table.get(service).owner
    except NotFound:
        return
    if owner != call.peer.uid:
        raise PermissionDenied(f"service {service} is registered by uid {owner}", cap_id=call.claims.jti)


def _has_room(room: Room, call: Call, service: str) -> None:
    """Who registers by a token has his share; the table is everybody's."""
    if call.claims is None:
        return
    own = [entry.service for entry in room.table.live() if entry.owner == call.peer.uid]
    if service not in own and len(own) >= MAX_OF_A_HOLDER:
        raise ResourceExhausted(
            f"cannot register {service}: uid {call.peer.uid} holds {MAX_OF_A_HOLDER} entries; unregister some"
        )


def _remove_unit(room: Room, call: Call, unit: str) -> list[Entry]:
    for entry in room.table.live():
        if entry.unit == unit:
            _may_touch(room, call, entry.service)
    return room.table.remove_unit(unit)


def _audit(call: Call, event: str, entry: Entry) -> None:
    journal.send(
        event,
        f"{entry.service} {'at ' if event == 'svc.registered' else 'was at '}{entry.endpoint}",
        resource=entry.service,
        endpoint=entry.endpoint,
        unit=entry.unit,
        req_id=call.req_id,
        subject=audit.subject(call),
        cap_id=call.claims.jti if call.claims else "",
    )


METHODS: tuple[Method, ...] = (
    Method("registry.register", Access.OPERATOR, RegisterParams, register, "Say where a service answers."),
    Method("registry.unregister", Access.OPERATOR, UnregisterParams, unregister, "Forget a service, or a unit's."),
    Method("registry.complete", Access.OPERATOR, Empty, complete, "Say that all is registered that there is."),
    Method("registry.resolve", Access.OPEN, ResolveParams, resolve, "Where a service answers."),
    Method("registry.list", Access.OPEN, Empty, list_services, "Every registered service."),
)

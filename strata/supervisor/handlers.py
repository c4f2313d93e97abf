# SPDX-License-Identifier: MIT
"""The methods of the supervisor."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from strata import __version__
from strata.errors import InvalidArgument
from strata.sockets.method import Call, Empty, Method
from strata.supervisor.board import Board
from strata.supervisor.converge import Converge
from strata.supervisor.events import Asker
from strata.supervisor.operations import DRAIN_SECONDS, Operations
from strata.supervisor.reload import Reload
from strata.supervisor.rollout import Rollout
from strata.supervisor.service import Service
from strata.supervisor.states import why
from strata.systemd import audit
from strata.types import Access
from strata.types import ServiceState as S

FRESH_SECONDS = 0.5
MAX_DRAIN_MS = 3_600_000


class Room(NamedTuple):
    """What the handlers share."""

    board: Board
    operations: Operations
    converge: Converge
    reload: Reload
    rollout: Rollout
    node_id: str
    mode: str
    systemd_version: str
    started: float  # time.monotonic()


class NameParams(msgspec.Struct, frozen=True):
    """Which service."""

    name: Annotated[str, Meta(description="name of the service")]


class StopParams(msgspec.Struct, frozen=True):
    """supervisor.svc.stop and .restart."""

    name: Annotated[str, Meta(description="name of the service")]
    drain_ms: Annotated[
        int, Meta(description="milliseconds until SIGKILL; 0 and less mean 2000, at most stop_timeout")
    ] = 0


class ReloadParams(msgspec.Struct, frozen=True):
    """supervisor.svc.reload."""

    apply: Annotated[bool, Meta(description="carry the plan out; false only shows it")] = False


class EventsParams(msgspec.Struct, frozen=True):
    """supervisor.events."""

    since: Annotated[int, Meta(description="only events numbered above this; the last 1000 are kept")] = 0
    follow: Annotated[bool, Meta(description="stay, and stream what happens; false ends after what is kept")] = True


def status(room: Room, _call: Call, _params: Empty) -> dict[str, Any]:
    """The node in a few words."""
    states = [service.state for service in room.board.services.values()]
    return {
        "node_id": room.node_id,
        "uptime_sec": int(time.monotonic() - room.started),
        "version": __version__,
        "mode": room.mode,
        "systemd": room.systemd_version,
        "services": len(states),
        "healthy": states.count(S.HEALTHY),
        "problems": room.reload.problems,
        "rollout": room.rollout.progress,
    }


def list_services(room: Room, _call: Call, _params: Empty) -> dict[str, Any]:
    """Every service in dependency order."""
    staying = room.converge.staying()
    return {"services": [_row(room, service, staying) for service in room.board.services.values()]}


async def start(room: Room, call: Call, params: NameParams) -> dict[str, str]:
    """Start a service and wait until it is Healthy."""
    await room.operations.start(room.board.get(params.name), _asker(call))
    return {"status": "started"}


async def stop(room: Room, call: Call, params: StopParams) -> dict[str, Any]:
    """Stop a service and wait until no process of it is left."""
    service = room.board.get(params.name)
    dependents = await room.operations.stop(service, _asker(call), _drain(params, service.manifest.stop_timeout_sec))
    return {"status": "stopped"} | ({"dependents": dependents} if dependents else {})


async def restart(room: Room, call: Call, params: StopParams) -> dict[str, str]:
    """Restart a service and wait until it is Healthy."""
    service = room.board.get(params.name)
    await room.operations.restart(service, _asker(call), _drain(params, service.manifest.stop_timeout_sec))
    return {"status": "restarted"}


async def reset(room: Room, call: Call, params: NameParams) -> dict[str, str]:
    """Forget a service's failures."""
    service = room.board.get(params.name)
    await room.operations.reset(service, _asker(call))
    return {"status": "reset", "state": service.state}


async def describe(room: Room, _call: Call, params: NameParams) -> dict[str, Any]:
    """All there is to say of a service."""
    service = room.board.get(params.name)
    if time.monotonic() - service.described > FRESH_SECONDS:  # anyone may ask, and each look costs PID 1 its time
        service.described = time.monotonic()
        await room.operations.look(service)
    manifest = service.manifest
    seen = service.status
    return _row(room, service, room.converge.staying()) | {
        "description": manifest.description,
        "source": manifest.source,
        "core": manifest.core,
        "units": [text.name for text in service.texts],
        "after": list(manifest.after),
        "dependents": room.board.dependents(service.name),
        "limits": {name: value for name, value in msgspec.structs.asdict(manifest.limits).items() if value},
        "restart": msgspec.structs.asdict(manifest.restart),
        "health": msgspec.to_builtins(manifest.health) if manifest.health else None,
        "usage": {"memory_bytes": seen.memory_bytes, "tasks": seen.tasks, "cpu_ns": seen.cpu_ns},
        "last": {
            "result": seen.result,
            "exit_code": seen.exit_code,
            "exit_status": seen.exit_status,
            "why": service.unstartable or why(seen),
        },
        "systemd": {"load": seen.load_state, "active": seen.active_state, "sub": seen.sub_state},
        "control_group": seen.control_group,
        "invocation_id": seen.invocation_id,
        "status_text": seen.status_text,
        "changed": service.changed,
    }


async def reload(room: Room, call: Call, params: ReloadParams) -> dict[str, Any]:
    """Read the manifests again; show what would change, or change it."""
    return await (room.reload.apply(_asker(call)) if params.apply else room.reload.show())


async def events(room: Room, _call: Call, params: EventsParams) -> AsyncIterator[Any]:
    """What happens to services, one frame each."""
    log = room.board.events
    if not params.follow:
        for event in log.since(params.since):
            yield event
        return
    async for event in log.follow(params.since):
        yield event


def _row(room: Room, service: Service, staying: AbstractSet[str]) -> dict[str, Any]:
    seen = service.status
    row: dict[str, Any] = {
        "name": service.name,
        "state": service.state,
        "pid": seen.main_pid if seen.running else 0,
        "unit": service.unit,
        "restarts": seen.restarts,
        "since": seen.active_since_us / 1e6 if service.state is S.HEALTHY else service.since,
        "memory_bytes": seen.memory_bytes,
    }
    waits = service.on_demand and service.listening and not seen.running and service.state is S.DECLARED
    flags = {"waits": waits, "stays": not waits and service.name in staying}
    more = {"why": _reason(room, service, staying), **flags}
    return row | {name: value for name, value in more.items() if value}


def _reason(room: Room, service: Service, staying: AbstractSet[str]) -> str:
    """Why it is not well, "" when it is."""
    if service.state in (S.HEALTHY, S.STOPPED):
        return service.unstartable
    reason = service.unstartable or why(service.status)
    held = room.converge.held_by(service, staying) if service.state is S.DECLARED and not reason else None
    return f"it comes after {held.name}, which is {held.state}" if held else reason


def _asker(call: Call) -> Asker:
    return Asker(audit.subject(call), call.req_id, call.claims.jti if call.claims else "")


def _drain(params: StopParams, stop_timeout: float) -> float:
    if params.drain_ms > MAX_DRAIN_MS:
        raise InvalidArgument(f"drain_ms must be at most {MAX_DRAIN_MS}", param="drain_ms")
    return params.drain_ms / 1000 if params.drain_ms > 0 else min(DRAIN_SECONDS, stop_timeout)


METHODS: tuple[Method, ...] = (
    Method("supervisor.status", Access.OPEN, Empty, status, "The node in a few words."),
    Method("supervisor.svc.list", Access.OPEN, Empty, list_services, "Every service, in dependency order."),
    Method("supervisor.svc.describe", Access.OPEN, NameParams, describe, "All there is to say of a service."),
    Method("supervisor.svc.start", Access.OPERATOR, NameParams, start, "Start a service; answers when it is Healthy."),
    Method("supervisor.svc.stop", Access.OPERATOR, StopParams, stop, "Stop a service; answers when it is gone."),
    Method("supervisor.svc.restart", Access.OPERATOR, StopParams, restart, "Restart a service; its clients queue."),
    Method("supervisor.svc.reset", Access.OPERATOR, NameParams, reset, "Forget a service's failures."),
    Method("supervisor.svc.reload", Access.OPERATOR, ReloadParams, reload, "Read the manifests again."),
    Method("supervisor.events", Access.OPEN, EventsParams, events, "What happens to services, as a stream.", True),
)

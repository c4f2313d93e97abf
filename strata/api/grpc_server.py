# SPDX-License-Identifier: MIT
"""gRPC: both services, health and reflection, on connections that the door hands over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpclib.const import Cardinality, Handler
from grpclib.health.check import ServiceCheck
from grpclib.health.service import OVERALL, Health
from grpclib.reflection.service import ServerReflection

from strata.api import grpc_old, grpc_run, grpc_shell, grpc_transfers
from strata.api.door import Door
from strata.api.grpc_call import Call, Function, answering, readable
from strata.api.grpc_messages import filled, params_of
from strata.api.grpc_wire import Http2
from strata.api.held import Held
from strata.api.proto import sandbox_pb2 as old
from strata.api.proto.strata.v1 import sandbox_pb2 as v1

_GRACE_SECONDS = 1.0

# One question, one answer: the names of the fields are those of the room's parameters and results.
PLAIN: Mapping[str, str] = MappingProxyType(
    {
        "CreateSession": "sandbox.create",
        "DescribeSession": "sandbox.describe",
        "ListSessions": "sandbox.list",
        "CloseSession": "sandbox.close",
        "Extend": "sandbox.extend",
        "Freeze": "sandbox.freeze",
        "Thaw": "sandbox.thaw",
        "Exec": "sandbox.exec",
        "Runs": "sandbox.runs",
        "Signal": "sandbox.signal",
        "Kill": "sandbox.kill",
        "Wait": "sandbox.wait",
        "Terminals": "sandbox.terminals",
        "HangUp": "sandbox.hangup",
        "ListFiles": "sandbox.files",
        "Stat": "sandbox.stat",
        "MakeDirectory": "sandbox.mkdir",
        "Move": "sandbox.move",
        "Remove": "sandbox.remove",
        "Diff": "sandbox.diff",
        "Snapshot": "sandbox.snapshot",
        "Snapshots": "sandbox.snapshots",
        "RemoveSnapshot": "sandbox.remove_snapshot",
        "Fork": "sandbox.fork",
        "Usage": "sandbox.usage",
        "Stats": "sandbox.stats",
        "Templates": "sandbox.templates",
    }
)
STREAMING: Mapping[str, Function] = MappingProxyType(
    {
        "Run": grpc_run.run,
        "Output": grpc_run.output,
        "Watch": grpc_run.watch,
        "Shell": grpc_shell.shell,
        "Put": grpc_transfers.put,
        "Get": grpc_transfers.get,
        "Export": grpc_transfers.export,
    }
)


class Grpc:
    """The server of every connection that begins with HTTP/2's preface (serving.Serving)."""

    def __init__(self, door: Door) -> None:
        # It tells of every call that its client gives up; what is our own fault is logged by ourselves.
        logging.getLogger("grpclib").setLevel(logging.WARNING)
        self._limits = door.limits
        self._held = Held(door.limits.held_bytes)
        self._mapping = _mapping(door)
        self._connections: set[Http2] = set()

    def protocol(self) -> asyncio.Protocol:
        """The protocol of one more connection."""
        connection = Http2(self._mapping, self._limits, self._held, self._connections.discard)
        self._connections.add(connection)
        if len(self._connections) > self._limits.connections:
            # The client hears of it as soon as the connection is made, and tries again later.
            asyncio.get_running_loop().call_soon(connection.drop)
        return connection

    async def close(self) -> None:
        """Let running calls end, a short while, then cancel them and close every connection."""
        await self._wait(_GRACE_SECONDS)
        for connection in tuple(self._connections):
            connection.drop()
        await self._wait(_GRACE_SECONDS)

    async def _wait(self, timeout: float) -> None:
        running = [task for connection in self._connections for task in connection.calls.tasks.values()]
        if running:
            await asyncio.wait(running, timeout=timeout)


def _mapping(door: Door) -> dict[str, Handler]:
    services = [
        _Service(door, old.DESCRIPTOR.services_by_name["SandboxService"], grpc_old.FUNCTIONS),
        _Service(door, v1.DESCRIPTOR.services_by_name["SandboxService"], _functions()),
    ]
    answers = ServiceCheck(door.room.alive, check_ttl=5.0)
    health = Health({service: [answers] for service in services} | {OVERALL: [answers]})
    mapping: dict[str, Handler] = {}
    for service in ServerReflection.extend([*services, health]):
        mapping |= service.__mapping__()
    return {path: handler._replace(func=readable(handler.func)) for path, handler in mapping.items()}


def _functions() -> dict[str, Function]:
    methods = v1.DESCRIPTOR.services_by_name["SandboxService"].methods_by_name
    return {name: _plain(method, methods[name]) for name, method in PLAIN.items()} | dict(STREAMING)


def _plain(method: str, described: MethodDescriptor) -> Function:
    reply: type[Message] = GetMessageClass(described.output_type)

    async def answer(call: Call) -> None:
        await call.send(filled(reply, await call.ask(method, params_of(await call.first()))))

    return answer


class _Service:
    """A service as grpclib knows one, made from what its .proto says: no generated base class is needed."""

    def __init__(self, door: Door, described: ServiceDescriptor, functions: Mapping[str, Function]) -> None:
        self._handlers = {
            f"/{described.full_name}/{name}": Handler(
                answering(door, functions[name]),
                Cardinality((method.client_streaming, method.server_streaming)),  # type: ignore[call-arg]
                GetMessageClass(method.input_type),
                GetMessageClass(method.output_type),
            )
            for name, method in described.methods_by_name.items()
        }

    def __mapping__(self) -> dict[str, Any]:
        return self._handlers

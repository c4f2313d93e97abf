# SPDX-License-Identifier: MIT
"""The predecessor's service, over the same room (spec 2.8, vectors 168 to 171)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from strata.api import grpc_shell
from strata.api.grpc_call import Call, Function
from strata.api.proto import sandbox_pb2 as old
from strata.errors import InvalidArgument, NotFound


async def create_session(call: Call) -> None:
    made = await call.ask("sandbox.create", _ids(await call.first()))
    reply = old.CreateSessionResponse(
        ownerID=made["owner"], sessionID=made["session"], createdAt=str(made["created_at"])
    )
    await call.send(reply)


async def close_session(call: Call) -> None:
    ids = _ids(await call.first())
    try:
        await call.ask("sandbox.close", ids)
    except NotFound as error:
        await call.send(old.CloseSessionResponse(success=False, message=error.message))
    else:
        await call.send(old.CloseSessionResponse(success=True))


async def run_command(call: Call) -> None:
    request = await call.first()
    if not request.command:
        raise InvalidArgument("command is required")
    params = _ids(request) | {"command": request.command, "timeout_ms": request.timeoutMs}
    result = await call.ask("sandbox.exec", params)
    reply = old.ExecResponse(
        output=result.get("output", ""),
        elapsed=result.get("elapsed", ""),
        truncated=bool(result.get("truncated")),
        error=_why(result),
    )
    await call.send(reply)


async def stats(call: Call) -> None:
    await call.first()
    numbers = await call.ask("sandbox.stats", {})
    reply = old.StatsResponse(activeSessions=numbers["active_sessions"], maxSessions=numbers["max_sessions"])
    await call.send(reply)


def _ids(request: Any) -> dict[str, Any]:
    return {"owner": request.ownerID, "session": request.sessionID}


def _why(result: Mapping[str, Any]) -> str:
    """What the message has no field for: an end that was no exit, or an exit that was no success."""
    if error := result.get("error"):
        return str(error)
    if result.get("ended") == "signal":
        return f"ended by signal {result.get('signal')}"
    if result.get("ended") not in ("exit", None):
        return f"ended by {result['ended']}"
    return f"exit status {result['exit_code']}" if result.get("exit_code") else ""


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "CreateSession": create_session,
        "CloseSession": close_session,
        "Exec": run_command,
        "Shell": grpc_shell.old_shell,
        "Stats": stats,
    }
)

# SPDX-License-Identifier: MIT
"""The predecessor's routes, bodies and messages (spec 2.3, 2.4), with ours beside its fields.

Ids come from the path or the body, or from the headers X-Owner-Id and X-Session-Id; two that differ are refused.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any, TypeVar, cast

import msgspec

from strata.api import results
from strata.api.exchange import Reply, Request, decoder
from strata.api.routing import Route
from strata.errors import InvalidArgument

OWNER_HEADER, SESSION_HEADER = b"x-owner-id", b"x-session-id"

T = TypeVar("T")


class OldCreate(msgspec.Struct):
    """Body of POST /api/sessions; the owner may be spelt in four ways, as the predecessor's pages did."""

    owner_id: str = ""
    owner: str = ""
    user_id: str = ""
    uid: str = ""
    session_id: str = ""
    session: str = ""
    sid: str = ""


class OldExec(msgspec.Struct):
    """Body of POST …/exec."""

    command: str = ""
    timeout_ms: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] = 0


def identity(request: Request, owners: tuple[str, ...] = (), sessions: tuple[str, ...] = ()) -> dict[str, str]:
    """Owner and session of a request, from everywhere that may name them. Raises InvalidArgument."""
    owner = _one("owner", request.values(OWNER_HEADER), (*owners, request.path.get("owner", "")))
    session = _one("session", request.values(SESSION_HEADER), (*sessions, request.path.get("session", "")))
    if not owner or not session:
        raise InvalidArgument("owner_id and session_id are required")
    return {"owner": owner, "session": session}


def _one(what: str, headers: list[str], others: tuple[str, ...]) -> str:
    named = {name for name in (*headers, *others) if name}
    if len(named) > 1:
        raise InvalidArgument(f"cannot tell which {what} is meant: the request names {len(named)}; name one")
    return named.pop() if named else ""


async def _body(request: Request, kind: type[T]) -> T:
    """`null` counts as an empty object; everything else that is no object is refused in the predecessor's words."""
    raw = await request.body()
    try:
        found: T | None = decoder(cast(Hashable, kind | None)).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument("invalid request body", reason=str(error)) from error
    return kind() if found is None else found


async def create(request: Request) -> Reply:
    """A session; the one that is there when there is one."""
    token = request.token
    body = await _body(request, OldCreate)
    ids = identity(
        request, (body.owner_id, body.owner, body.user_id, body.uid), (body.session_id, body.session, body.sid)
    )
    result: dict[str, Any] = await request.door.room.call("sandbox.create", ids, token)
    named = {"owner_id": ids["owner"], "session_id": ids["session"], "created_at": result.get("created_at")}
    return Reply(msgspec.json.encode(named | result))


async def close(request: Request) -> Reply:
    """Answers when nothing of the session is left."""
    token = request.token
    return Reply(await request.door.room.raw("sandbox.close", identity(request), token))


async def execute(request: Request) -> Reply:
    """A command for the session's shell; `truncated` is there only when it is true."""
    token = request.token
    body = await _body(request, OldExec)
    params: dict[str, Any] = identity(request)
    if not body.command:
        raise InvalidArgument("command is required")
    params["command"] = body.command
    if body.timeout_ms > 0:
        params["timeout_ms"] = body.timeout_ms
    raw = await request.door.room.raw("sandbox.exec", params, token)
    fields = _fields.decode(raw)
    if bytes(fields.get("truncated", b"")) == b"false":
        del fields["truncated"]
        return Reply(msgspec.json.encode(fields))
    return Reply(raw)


async def stats(request: Request) -> Reply:
    """How many sessions there are."""
    return Reply(await request.door.room.raw("sandbox.stats", {}, request.token))


_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

ROUTES = (
    Route("POST", "/api/sessions", create, "Open a session", "sandbox.create", body=OldCreate, result=results.Session),
    Route(
        "DELETE", "/api/sessions/{owner}/{session}", close, "Close a session", "sandbox.close", result=results.Closed
    ),
    Route(
        "POST",
        "/api/sessions/{owner}/{session}/exec",
        execute,
        "Run a command in the session's shell",
        "sandbox.exec",
        body=OldExec,
        result=results.ExecResult,
    ),
    Route(
        "POST",
        "/api/sessions/exec",
        execute,
        "The same; owner and session stand in X-Owner-Id and X-Session-Id",
        "sandbox.exec",
        body=OldExec,
        result=results.ExecResult,
    ),
    Route("GET", "/api/stats", stats, "How many sessions there are", "sandbox.stats", result=results.Stats),
)

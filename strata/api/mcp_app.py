# SPDX-License-Identifier: MIT
"""MCP over streamable HTTP: the official SDK speaks the protocol; here it meets the door's credentials and the room.

A session of MCP belongs to the credential that opened it. Every call carries the token of its own request.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, AuthorizationContext
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams
from starlette.datastructures import Headers
from starlette.requests import Request

from strata import __version__
from strata.api import answering, mcp_inputs, mcp_tools, reading
from strata.api.door import Door
from strata.api.mount import Asgi, Message, Receive, Scope, Send
from strata.errors import InvalidArgument, ResourceExhausted, StrataError, Unauthenticated, Unavailable

MOST_SESSIONS = 512
MOST_SESSIONS_PER_TOKEN = 64
IDLE_SECONDS = 1800.0  # of a session of MCP; the sandboxes that it used have lives of their own
BODY_BYTES = 4 * 1_048_576
_PROGRESS_SECONDS = 5.0
_SESSION = b"mcp-session-id"
_INSTRUCTIONS = (
    "Isolated Linux sandboxes. Name a sandbox by owner_id and session_id in every call (or let the client send the "
    "headers X-Owner-Id and X-Session-Id); a new session_id is a new, empty sandbox. Use exec for shell commands: "
    "state persists between calls. Use write_file and read_file for files."
)


@contextlib.asynccontextmanager
async def mounted(door: Door) -> AsyncIterator[Asgi]:
    """The app below /mcp/, as long as the block lasts."""
    # It logs every request and every session's id, which is not for everyone to read.
    logging.getLogger("mcp").setLevel(logging.ERROR)
    endpoint = _Endpoint(door)
    async with endpoint.manager.run():
        yield endpoint


class _Manager(StreamableHTTPSessionManager):
    """The SDK's, with a bound for each token. It keeps who opened a session to itself, and nothing else knows when one
    has ended."""

    def full(self, token: str) -> bool:
        """Whether the token, by its digest, has all the sessions that it may have."""
        owners = self._session_owners.values()
        return sum(owner["client_id"] == token for owner in owners) >= MOST_SESSIONS_PER_TOKEN

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        """Here is where it is decided: of many who ask at once, all were told before that there is room."""
        if requestor is not None and self.full(requestor["client_id"]):
            return None
        return super()._admit_session(requestor)


class _Endpoint:
    """Callable as ASGI."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.manager = _Manager(
            _server(door),
            session_idle_timeout=IDLE_SECONDS,
            max_sessions=MOST_SESSIONS,
            max_request_body_size=BODY_BYTES,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Who has no credentials learns nothing else (RFC 6750, 3)."""
        names = [name for name, _ in scope["headers"]]
        try:
            token = self._door.token(Headers(scope=scope).getlist("authorization"))
            user = _user(token)
            if _SESSION not in names:
                await self._admit(token, user)
            if scope["method"] == "POST":
                receive = await _read(scope, receive)
        except StrataError as error:
            await answering.answer(answering.error_reply(error), send, [])
            return
        except reading.Gone:
            return
        if b"accept" not in names:
            scope["headers"] = [*scope["headers"], (b"accept", b"*/*")]  # RFC 9110, 12.5.1: it means that
        if user:
            scope["user"] = user
        await self.manager.asgi_app(scope, receive, send)

    async def _admit(self, token: str, user: AuthenticatedUser | None) -> None:
        """Before a session is opened for it: whether the room takes the token, and how many sessions it has.

        Raises StrataError.
        """
        if user is None:
            return
        if self.manager.full(user.access_token.client_id):
            raise ResourceExhausted(
                f"cannot open another MCP session: this token has {MOST_SESSIONS_PER_TOKEN}; end some with DELETE"
            )
        try:
            # The room looks at the token first and then misses a parameter, so nothing is done.
            await self._door.room.call("sandbox.signal", {}, token)
        except (Unauthenticated, Unavailable):
            raise
        except StrataError:
            return


async def _read(scope: Scope, receive: Receive) -> Receive:
    """The same request with its body read, within the door's bounds. Raises TooLarge, Unavailable, Gone."""
    told = Headers(scope=scope).get("content-length")
    body = await reading.whole(
        reading.pieces(receive), BODY_BYTES, int(told) if told else None, scope["strata.connection"].share
    )
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again


def _user(token: str) -> AuthenticatedUser | None:
    """Who a token stands for, as far as the SDK needs to know: the same as the one who opened the session, or not."""
    if not token:
        return None
    digest = hashlib.sha256(token.encode()).hexdigest()
    return AuthenticatedUser(AccessToken(token="", client_id=digest, scopes=[]))


def _server(door: Door) -> Server[Any]:
    async def list_tools(
        context: ServerRequestContext[Any, Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=mcp_tools.listed())

    async def call_tool(context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        row = mcp_tools.TOOLS.get(params.name)
        if row is None:
            known = ", ".join(mcp_tools.TOOLS)
            raise MCPError(INVALID_PARAMS, f"unknown tool: {params.name[:64]}; there are {known}")
        return await _called(door, row, context, params.arguments)

    return Server(
        "strata",
        version=__version__,
        title="Strata sandboxes",
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _called(
    door: Door, row: mcp_tools.Row, context: ServerRequestContext[Any, Any], arguments: dict[str, Any] | None
) -> CallToolResult:
    request = context.request
    assert isinstance(request, Request)  # the only transport there is
    beating = asyncio.create_task(_beat(context))
    try:
        token = door.token(request.headers.getlist("authorization"))
        given = mcp_inputs.read(row.input, _addressed(row, arguments, request.headers))

        async def ask(method: str, params: Any, descriptors: Sequence[int] = ()) -> Any:
            return await door.room.call(method, params, token, descriptors)

        return await row.run(ask, _ids(given), given)
    except StrataError as error:
        return mcp_tools.refused(error)
    except Exception as error:  # noqa: BLE001  logged whole, told plainly
        return mcp_tools.refused(answering.unexpected(error, f"the MCP tool {row.title!r}"))
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


def _addressed(row: mcp_tools.Row, arguments: dict[str, Any] | None, headers: Headers) -> dict[str, Any]:
    """The arguments, with the ids that headers name: those count (spec 2.3)."""
    named = {"owner_id": headers.get("x-owner-id"), "session_id": headers.get("x-session-id")}
    if not issubclass(row.input, mcp_inputs.Addressed):
        return dict(arguments or {})
    return dict(arguments or {}) | {name: value for name, value in named.items() if value}


def _ids(given: Any) -> dict[str, str]:
    if not isinstance(given, mcp_inputs.Addressed):
        return {}
    if not given.owner_id or not given.session_id:
        raise InvalidArgument("owner_id and session_id are required")
    return {"owner": given.owner_id, "session": given.session_id}


async def _beat(context: ServerRequestContext[Any, Any]) -> None:
    """Tell a client that asked for progress that the work goes on; the SDK tells nobody else."""
    begun = time.monotonic()
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        seconds = round(time.monotonic() - begun, 1)
        await context.session.report_progress(seconds, None, f"running for {seconds:.0f} s")

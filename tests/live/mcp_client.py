# SPDX-License-Identifier: MIT
"""The official MCP client for tests that are not asynchronous, and MCP as plain HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx2
import mcp
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from visitor import SECONDS, Answer, Visitor

VERSION = "2025-06-18"


class Client:
    """A session of the official client, on a loop in a thread of its own."""

    def __init__(self, portal: BlockingPortal, session: mcp.ClientSession) -> None:
        self._portal, self._session = portal, session

    def wait(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """What a method of the client returns."""
        return self._portal.call(function, *arguments)

    def tools(self) -> list[Any]:
        """What tools/list tells."""
        return list(self.wait(self._session.list_tools).tools)

    def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """tools/call."""
        result = self.wait(self._session.call_tool, tool, arguments)
        assert isinstance(result, CallToolResult)
        return result

    def text(self, tool: str, /, **arguments: Any) -> str:
        """The text of a result that is no error."""
        result = self.call(tool, **arguments)
        assert not result.is_error, result
        return texts(result)

    def refusal(self, tool: str, /, **arguments: Any) -> str:
        """Strata's name for the error with which a tool answers."""
        result = self.call(tool, **arguments)
        assert result.is_error, result
        assert result.structured_content is not None
        return str(result.structured_content["error"])


def texts(result: CallToolResult) -> str:
    """All text of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


@contextlib.contextmanager
def opened(visitor: Visitor, **headers: str) -> Iterator[Client]:
    """Initialized; with headers that go with every request."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | visitor.authorization
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_session(visitor, sent)) as session:
        yield Client(portal, session)


@contextlib.asynccontextmanager
async def _session(visitor: Visitor, headers: dict[str, str]) -> AsyncIterator[mcp.ClientSession]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=SECONDS, trust_env=False) as http,
        streamable_http_client(f"http://{visitor.address}/mcp/", http_client=http) as (read, write, *_),
        mcp.ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


# --- without the client


def initialize(version: str = VERSION) -> dict[str, Any]:
    """The first message."""
    info = {"name": "test", "version": "1"}
    return message("initialize", protocolVersion=version, capabilities={}, clientInfo=info)


def message(method: str, /, **params: Any) -> dict[str, Any]:
    """A request of JSON-RPC."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def post(visitor: Visitor, body: Any, session: str = "", **headers: str) -> Answer:
    """One message as plain HTTP, in a session of MCP if one is named."""
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"} | headers
    if session:
        sent |= {"Mcp-Session-Id": session, "Mcp-Protocol-Version": VERSION}
    return visitor.ask("POST", "/mcp/", body, **sent)


def begun(visitor: Visitor) -> str:
    """The id of a new session of MCP."""
    name = post(visitor, initialize()).headers["mcp-session-id"]
    assert post(visitor, {"jsonrpc": "2.0", "method": "notifications/initialized"}, name).status == 202
    return name


def reply(answer: Answer) -> Any:
    """The JSON-RPC message of an answer, whether it is JSON or a stream of events."""
    if "event-stream" not in answer.headers["content-type"]:
        return answer.json
    lines = answer.body.decode().splitlines()
    return json.loads(next(line[6:] for line in lines if line.startswith("data: {")))

# SPDX-License-Identifier: MIT
"""docs/sandboxes.md: its commands are typed in one shell, and its MCP configuration is used, before a real Strata."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import mcp
import pytest
import walk
from devices import needs_loop
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent
from node import CTL, Node

from strata.client import Client

PAGE = (Path(__file__).resolve().parents[2] / "docs/sandboxes.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:2280"
TOOLS = ("create", "exec", "run", "files", "close", "stats")


@pytest.fixture
def alice(strata: Node) -> Iterator[Node]:
    """The page's owner has no session and no snapshot before and after."""
    yield strata
    with Client(strata.manager.paths.socket("sandbox")) as client:
        left = client.sessions("alice")
        for found in left:
            client.session("alice", found.session).close()
        snapshots = client.session("alice", "none").snapshots()
    assert not left
    assert not snapshots


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def here(command: str, node: Node) -> str:
    """systemd's own programs are typed beside the systemd that runs Strata."""
    embedded = node.manager.mode == "embedded" and command.startswith(("systemctl ", "journalctl "))
    return f"strata-ctl embedded run -- {command}" if embedded else command


@needs_loop
def test_the_commands_of_the_page_print_what_it_says(alice: Node, tmp_path: Path) -> None:
    steps = [(here(command, alice), shown) for block in blocks("console") for command, shown in walk.steps(block)]
    env = alice.environment | {"PATH": f"{CTL.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    walk.check(steps, walk.typed(steps, {ADDRESS: alice.address}, env, tmp_path))


def test_the_configuration_for_hosts_of_mcp_is_one_that_works(alice: Node) -> None:
    ((server,),) = [list(json.loads(block)["mcpServers"].values()) for block in blocks("json")]
    issued = alice.issue(service="sandbox", actions=list(TOOLS), owner="alice")
    headers = server["headers"] | {"Authorization": server["headers"]["Authorization"].replace("TOKEN", issued.token)}

    async def ask() -> list[str]:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30.0) as http,
            streamable_http_client(server["url"].replace(ADDRESS, alice.address), http_client=http) as (
                read,
                write,
                *_,
            ),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            named = {tool.name for tool in (await session.list_tools()).tools}
            assert named == set(re.findall(r"`(\w+)`", re.findall(r"^The tools are (.*)", PAGE, re.MULTILINE)[0]))
            said = [await session.call_tool("exec", {"command": "echo from a model"})]
            said.append(await session.call_tool("close_session", {}))
        return [part.text for each in said for part in each.content if isinstance(part, TextContent)]

    assert asyncio.run(ask())[0] == "from a model"

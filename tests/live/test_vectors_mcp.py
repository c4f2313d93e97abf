# SPDX-License-Identifier: MIT
"""Vectors 173 to 177: MCP of a running Strata, with the official client and as plain HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import mcp
import mcp_client
import pytest
from mcp_client import Client, message, post, reply
from visitor import SECONDS, Visitor

TOOLS = {"exec", "run", "write_file", "read_file", "list_files", "create_session", "close_session", "stats"}


@pytest.fixture
def client(user: Visitor) -> Iterator[Client]:
    """The official one."""
    with mcp_client.opened(user) as found:
        yield found


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_173_initialize(user: Visitor, version: str) -> None:
    """initialize -> protocolVersion echoed, Mcp-Session-Id header; FIX serverInfo.name "strata"."""
    answer = post(user, mcp_client.initialize(version))
    assert answer.status == 200
    result = reply(answer)["result"]
    assert result["protocolVersion"] == version
    assert result["serverInfo"]["name"] == "strata"
    assert answer.headers["mcp-session-id"]


def test_174_the_tools(client: Client) -> None:
    """tools/list -> contains `exec` with required ["command"] and default 30000."""
    found = {tool.name: tool.input_schema for tool in client.tools()}
    assert set(found) == TOOLS
    assert found["exec"]["required"] == ["command"]
    properties = found["exec"]["properties"]
    assert properties["timeout_ms"]["default"] == 30000
    assert {name: properties[name]["type"] for name in ("owner_id", "session_id", "command")} == {
        "owner_id": "string", "session_id": "string", "command": "string"
    }  # fmt: skip


def test_175_exec_by_arguments(user: Visitor, client: Client) -> None:
    """tools/call exec {owner_id,session_id,command "pwd"} -> text "/root"."""
    assert client.text("exec", command="pwd", **user.ids) == "/root"


def test_175_exec_by_headers(user: Visitor) -> None:
    """By headers only -> same."""
    with mcp_client.opened(user, **user.id_headers) as client:
        assert client.text("exec", command="pwd") == "/root"


def test_175_headers_beat_arguments(user: Visitor) -> None:
    """Headers beat args: the command runs in the session that they name."""
    with mcp_client.opened(user, x_owner_id=user.owner, x_session_id="by-header") as client:
        client.text("exec", command="touch /root/here", owner_id="somebody-else", session_id="by-argument")
    assert user.of("by-header").out("ls /root") == "here"
    sessions = user.ok("GET", "/api/v1/sessions")["sessions"]
    assert [one["session"] for one in sessions] == ["by-header"]


def test_176_no_output(user: Visitor, client: Client) -> None:
    """exec "true" -> "(empty output)"."""
    assert client.text("exec", command="true", **user.ids) == "(empty output)"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"command": "true"}, "owner_id and session_id are required"),
        ({"command": "true", "owner_id": "u"}, "owner_id and session_id are required"),
        ({"owner_id": "u", "session_id": "s"}, "command is required"),
        ({"owner_id": "u", "session_id": "s", "command": ""}, "command is required"),
    ],
)
def test_176_what_is_missing(client: Client, arguments: dict[str, Any], says: str) -> None:
    """No ids / no command -> isError text."""
    result = client.call("exec", **arguments)
    assert (result.is_error, mcp_client.texts(result)) == (True, says)


def test_176_an_unknown_tool(client: Client) -> None:
    """Unknown tool -> -32602."""
    with pytest.raises(mcp.MCPError) as raised:
        client.call("nothing")
    assert raised.value.code == -32602


def test_176_an_unknown_method(user: Visitor) -> None:
    """Unknown method -> -32601."""
    assert reply(post(user, message("no/such"), mcp_client.begun(user)))["error"]["code"] == -32601


def test_176_bad_json(user: Visitor) -> None:
    """Bad JSON -> -32700."""
    answer = post(user, b'{"jsonrpc": ', mcp_client.begun(user))
    assert (answer.status, answer.json["error"]["code"]) == (400, -32700)


def test_176_a_session_that_is_not_there(user: Visitor) -> None:
    """Wrong session header -> 404."""
    assert post(user, message("tools/list"), "feed").status == 404


def test_176_a_notification(user: Visitor) -> None:
    """Notification -> 202."""
    notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert post(user, notification, mcp_client.begun(user)).status == 202


def test_176_somebody_elses_session_of_mcp(user: Visitor) -> None:
    """No credentials are 401; the session of MCP is of use to its own user only."""
    name = mcp_client.begun(user)
    assert post(replace(user, token=""), message("tools/list"), name).status == 401
    assert post(user, message("tools/list"), name).status == 200


def test_176_how_it_ended_is_told(user: Visitor, client: Client) -> None:
    """Exit code, time-out and truncation are in the text, where the model reads them, and as fields."""
    failed = client.call("exec", command="echo hi; exit 3", **user.ids)
    assert "hi" in mcp_client.texts(failed)
    assert "3" in mcp_client.texts(failed)
    assert failed.structured_content is not None
    assert failed.structured_content["exit_code"] == 3
    late = client.call("exec", command="echo begun; sleep 10", timeout_ms=300, **user.ids)
    assert late.is_error
    assert "command timeout" in mcp_client.texts(late)


@pytest.mark.parametrize(
    "what", ["seq 1 500000", "yes é | head -c 2M", "head -c 2M /dev/zero", "head -c 1M /dev/urandom"]
)
def test_176_a_flood_is_cut_and_told(user: Visitor, client: Client, what: str) -> None:
    """Truncation is reported, and a result is never more than a client takes: it would hang up."""
    for tool, more in (("exec", {"command": what}), ("run", {"argv": ["/bin/sh", "-c", f"{what}; {what} >&2"]})):
        result = client.call(tool, **more, **user.ids)
        assert "[truncated" in mcp_client.texts(result)
        assert result.structured_content is not None
        assert result.structured_content["truncated"] is True
        assert len(result.structured_content["stdout"]) > 10_000
    assert client.text("exec", command="echo going on", **user.ids) == "going on"


@pytest.mark.parametrize("what", ["seq 1 150000", "yes é | head -c 900000", "tr '\\0' '\\1' < /dev/zero | head -c 1M"])
def test_176_a_large_file_is_read_in_pieces(user: Visitor, client: Client, what: str) -> None:
    """Each says where to go on; together they are the file."""
    user.exec(f"{what} > /root/file")
    text, offset = "", 0
    while offset < int(user.out("stat -c %s /root/file")):
        found = client.call("read_file", path="file", offset=offset, size=1_048_576, **user.ids)
        assert found.structured_content is not None
        text += found.content[0].text  # type: ignore[union-attr]
        offset += found.structured_content["size"]
    user.exec(f"({what}) | sha256sum > /root/sum")
    assert user.out("cut -d' ' -f1 /root/sum") == hashlib.sha256(text.encode()).hexdigest()


def test_176_a_large_directory_is_listed(user: Visitor, client: Client) -> None:
    """As much of it as a client takes, and that it is not all."""
    user.exec("mkdir /root/d; cd /root/d; for i in {1..9000}; do : > entry-with-a-rather-long-name-for-a-file-$i; done")
    listed = client.text("list_files", path="d", **user.ids)
    assert "more entries than are shown" in listed
    assert len(listed.split("\n")) > 2000


def test_174_the_other_tools(user: Visitor, client: Client) -> None:
    """Files, programs and sessions as a model handles them."""
    assert "open" in client.text("create_session", **user.ids)
    assert "3 bytes" in client.text("write_file", path="file", content="abc", **user.ids)
    assert client.text("read_file", path="/root/file", **user.ids) == "abc"
    assert "file" in client.text("list_files", path="/root", **user.ids)
    assert client.text("run", argv=["/bin/echo", "$HOME"], **user.ids).strip() == "$HOME"
    assert "sessions are open" in client.text("stats")
    assert "closed" in client.text("close_session", **user.ids)
    assert client.refusal("close_session", **user.ids) == "NOT_FOUND"


def test_177_the_stream(user: Visitor) -> None:
    """FIX GET /mcp/ with Accept: text/event-stream -> 200 stream."""
    sent = {"Accept": "text/event-stream", "Mcp-Session-Id": mcp_client.begun(user)} | user.authorization
    connection = http.client.HTTPConnection(user.address, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/mcp/", headers=sent)
        response = connection.getresponse()
        assert (response.status, response.headers.get_content_type()) == (200, "text/event-stream")
        response.close()


def test_177_without_its_slash(user: Visitor) -> None:
    """`/mcp` -> 301 (spec 2.4)."""
    answer = user.ask("GET", "/mcp")
    assert (answer.status, answer.headers["location"]) == (301, "/mcp/")

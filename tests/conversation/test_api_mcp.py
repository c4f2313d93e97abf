# SPDX-License-Identifier: MIT
"""MCP through the door: with the official client, and with plain HTTP where that would not do what is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import httpx2
import mcp
import mcp_types
import pytest
from http_client import head
from mcp.client.streamable_http import streamable_http_client
from rooms import DEADLINE
from rpc_door import Opened, Settings, later, opened

from strata import __version__
from strata.api import mcp_app

IDS = {"owner_id": "a", "session_id": "b"}
BEARER = {"Authorization": "Bearer good"}
BOTH = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def door() -> Iterator[Opened]:
    with opened() as found:
        yield found


@contextlib.asynccontextmanager
async def session(door: Opened, **headers: str) -> AsyncIterator[mcp.ClientSession]:
    """The official client, initialized."""
    async with (
        httpx2.AsyncClient(headers=BEARER | headers, timeout=DEADLINE) as http,
        streamable_http_client(f"{door.url}/mcp/", http_client=http) as (read, write, *_),
        mcp.ClientSession(read, write) as found,
    ):
        await found.initialize()
        yield found


def with_session(door: Opened, work: Callable[[mcp.ClientSession], Awaitable[Any]], **headers: str) -> Any:
    async def whole() -> Any:
        async with session(door, **headers) as found:
            return await work(found)

    return later(whole())


def tool(door: Opened, name: str, /, **arguments: Any) -> mcp_types.CallToolResult:
    return with_session(door, lambda found: found.call_tool(name, arguments))


def texts(result: mcp_types.CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, mcp_types.TextContent)]


class Plain:
    """A client that sends what it likes."""

    def __init__(self, door: Opened, **headers: str) -> None:
        self.door, self.headers = door, BEARER | BOTH | headers
        self.http = httpx.Client(base_url=door.url, timeout=DEADLINE)

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self, body: Any, /, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | self.headers | headers
        return self.http.post("/mcp/", content=content, headers={name: text for name, text in given.items() if text})

    def initialize(self, version: str = "2025-06-18") -> httpx.Response:
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        reply = self.post(request("initialize", **params))
        if "mcp-session-id" in reply.headers:
            self.headers["Mcp-Session-Id"] = reply.headers["mcp-session-id"]
            self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return reply


def request(method: str, /, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def message(reply: httpx.Response) -> Any:
    """The JSON-RPC message of an answer, whether it is JSON or a stream of events."""
    if "event-stream" not in reply.headers["content-type"]:
        return reply.json()
    return json.loads(next(line[6:] for line in reply.text.splitlines() if line.startswith("data: {")))


@pytest.fixture
def plain(door: Opened) -> Iterator[Plain]:
    with Plain(door) as found:
        yield found


# --- vectors 173 to 177


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_173_initialize_echoes_the_version_and_names_strata(plain: Plain, version: str) -> None:
    reply = plain.initialize(version)
    result = message(reply)["result"]
    assert result["protocolVersion"] == version
    assert (result["serverInfo"]["name"], result["serverInfo"]["version"]) == ("strata", __version__)
    assert reply.headers["mcp-session-id"]


def test_173_an_unknown_version_is_answered_with_one_that_is_spoken(plain: Plain) -> None:
    assert message(plain.initialize("1999-01-01"))["result"]["protocolVersion"] == "2025-11-25"


def test_174_exec_is_listed_with_its_schema(door: Opened) -> None:
    listed = with_session(door, lambda found: found.list_tools()).tools
    names = [each.name for each in listed]
    assert names == ["exec", "run", "write_file", "read_file", "list_files", "create_session", "close_session", "stats"]
    schema = listed[0].input_schema
    assert set(schema["properties"]) >= {"owner_id", "session_id", "command", "timeout_ms"}
    assert (schema["required"], schema["properties"]["timeout_ms"]["default"]) == (["command"], 30000)


def test_every_tool_is_described_and_hinted(door: Opened) -> None:
    for each in with_session(door, lambda found: found.list_tools()).tools:
        assert len(each.description) > 40
        assert each.annotations.read_only_hint == (each.name in ("read_file", "list_files", "stats"))
        assert each.annotations.destructive_hint == (each.name in ("exec", "run", "write_file", "close_session"))
        assert all("description" in property for property in each.input_schema["properties"].values()), each.name


def test_175_exec_by_arguments(door: Opened) -> None:
    assert texts(tool(door, "exec", command="pwd", **IDS)) == ["/root"]


def test_175_exec_by_headers_alone(door: Opened) -> None:
    headers = {"X-Owner-Id": "h", "X-Session-Id": "i"}
    result = with_session(door, lambda found: found.call_tool("exec", {"command": "pwd"}), **headers)
    assert texts(result) == ["/root"]
    assert door.room.last("sandbox.exec")["owner"] == "h"


def test_175_headers_beat_arguments(door: Opened) -> None:
    with_session(door, lambda found: found.call_tool("exec", {"command": "pwd"} | IDS), **{"X-Owner-Id": "h"})
    asked = door.room.last("sandbox.exec")
    assert (asked["owner"], asked["session"]) == ("h", "b")


def test_176_no_output_is_said(door: Opened) -> None:
    assert texts(tool(door, "exec", command="true", **IDS)) == ["(empty output)"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"command": "pwd"}, "owner_id and session_id are required"),
        ({"command": "pwd", "owner_id": "", "session_id": "b"}, "owner_id and session_id are required"),
        (IDS, "command is required"),
        (IDS | {"command": ""}, "command is required"),
        (IDS | {"command": 5}, "Expected `str`, got `int`"),
        (IDS | {"command": "pwd", "timeout_ms": "5"}, "Expected `int`, got `str`"),
        (IDS | {"command": "pwd", "cwd": "/"}, "unknown field `cwd`"),
    ],
)
def test_176_wrong_arguments_are_told_to_the_model(door: Opened, arguments: dict[str, Any], says: str) -> None:
    result = tool(door, "exec", **arguments)
    assert (result.is_error, says in texts(result)[0]) == (True, True), texts(result)


def test_176_an_unknown_tool(door: Opened) -> None:
    async def work(found: mcp.ClientSession) -> None:
        with pytest.raises(mcp.MCPError) as raised:
            await found.call_tool("nope", {})
        assert raised.value.code == -32602

    with_session(door, work)


def test_176_an_unknown_method(plain: Plain) -> None:
    plain.initialize()
    assert message(plain.post(request("nope/nope")))["error"]["code"] == -32601


def test_176_what_is_no_json(plain: Plain) -> None:
    plain.initialize()
    reply = plain.post(b'{"jsonrpc": ')
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, -32700)


def test_176_a_session_that_is_not_there(plain: Plain) -> None:
    assert plain.post(request("tools/list"), **{"Mcp-Session-Id": "feed"}).status_code == 404


def test_176_a_notification_is_accepted(plain: Plain) -> None:
    plain.initialize()
    assert plain.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).status_code == 202


def test_177_get_opens_a_stream(plain: Plain) -> None:
    plain.initialize()
    with plain.http.stream("GET", "/mcp/", headers=plain.headers | {"Accept": "text/event-stream"}) as reply:
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream")


def test_a_session_is_ended_by_its_client(plain: Plain) -> None:
    plain.initialize()
    assert plain.http.request("DELETE", "/mcp/", headers=plain.headers).status_code == 200
    assert plain.post(request("tools/list")).status_code == 404


def test_who_accepts_anything_says_nothing_of_it(plain: Plain) -> None:
    del plain.http.headers["accept"]
    plain.headers.pop("Accept")
    assert plain.initialize().status_code == 200


def test_the_protocol_without_sessions(plain: Plain) -> None:
    """2026-07-28: each request stands alone."""
    info = {"io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/protocolVersion": "2026-07-28"}  # fmt: skip
    body = request("tools/call", name="exec", arguments={"command": "pwd"} | IDS, _meta=info)
    heads = {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "exec"}
    reply = plain.post(body, **heads)
    assert message(reply)["result"]["content"][0]["text"] == "/root"
    assert "mcp-session-id" not in reply.headers


# --- what tools say


@pytest.mark.parametrize(
    ("command", "said", "wrong"),
    [
        ("exit 3", ["(empty output)", "[exit code 3]"], False),
        ("kill -9 $$", ["(empty output)", "[ended by signal KILL, after 12ms]"], False),
        ("sleep 10", ["part", "[command timeout: it was killed with all it started, after 1.001s]"], True),
    ],
)
def test_how_a_command_ended_stands_beside_its_output(door: Opened, command: str, said: list[str], wrong: bool) -> None:
    result = tool(door, "exec", command=command, **IDS)
    assert (texts(result), result.is_error) == (said, wrong)


def test_truncation_is_told(door: Opened) -> None:
    result = tool(door, "exec", command="long", **IDS)
    assert "[truncated" in texts(result)[1]
    assert result.structured_content["truncated"] is True


def test_structured_content_has_all_that_is_known(door: Opened) -> None:
    content = tool(door, "exec", command="exit 3", **IDS).structured_content
    assert (content["exit_code"], content["ended"], content["cwd"]) == (3, "exit", "/root")


def test_numbers_may_be_written_as_floats(door: Opened) -> None:
    tool(door, "exec", command="pwd", timeout_ms=5000.0, **IDS)
    assert door.room.last("sandbox.exec")["timeout_ms"] == 5000


def test_run_keeps_the_streams_apart(door: Opened) -> None:
    result = tool(door, "run", argv=["make", "all"], cwd="/src", env={"A": "1"}, **IDS)
    assert texts(result) == ["out", "[stderr]\nerr"]
    assert door.room.last("sandbox.run")["argv"] == ["make", "all"]


def test_a_file_is_written_and_read(door: Opened) -> None:
    text = "žluť\n" * 300_000  # more than a frame to the room holds
    told = tool(door, "write_file", path="/root/f", content=text, **IDS)
    assert texts(told) == [f"wrote {len(text.encode())} bytes to /root/f"]
    assert door.room.files["/root/f"] == text.encode()
    read = tool(door, "read_file", path="/root/f", size=7, **IDS)
    assert texts(read)[0] == "žluť\n"


def test_an_empty_file_may_be_written(door: Opened) -> None:
    assert not tool(door, "write_file", path="/root/e", content="", **IDS).is_error
    assert door.room.files["/root/e"] == b""


def test_bytes_are_written_and_read_as_base64(door: Opened) -> None:
    tool(door, "write_file", path="/b", content="//4=", encoding="base64", mode="0755", **IDS)
    assert (door.room.files["/b"], door.room.last("sandbox.put")["mode"]) == (b"\xff\xfe", "0755")
    read = tool(door, "read_file", path="/b", **IDS)
    assert texts(read) == ["[not text; base64 follows]", "//4="]


def test_no_character_is_lost_between_two_pieces(door: Opened) -> None:
    door.room.files["/t"] = "aéb".encode()
    cut = tool(door, "read_file", path="/t", size=2, **IDS)
    assert texts(cut) == ["a", "[more follows: go on at offset 1]"]
    assert texts(tool(door, "read_file", path="/t", offset=1, **IDS)) == ["éb"]
    assert texts(tool(door, "read_file", path="/t", offset=1, size=1, **IDS))[1] == "ww=="


def test_content_that_is_no_base64(door: Opened) -> None:
    result = tool(door, "write_file", path="/b", content="!!", encoding="base64", **IDS)
    assert (result.is_error, "not base64" in texts(result)[0]) == (True, True)


def test_a_directory_is_listed(door: Opened) -> None:
    result = tool(door, "list_files", **IDS)
    assert texts(result)[0].splitlines() == [" 0644          5  a.txt", " 0755          0  sub/"]
    assert door.room.last("sandbox.files")["path"] == "/root"


def test_sessions_are_opened_and_closed(door: Opened) -> None:
    async def work(found: mcp.ClientSession) -> list[list[str]]:
        opening = [await found.call_tool("create_session", IDS | {"ttl": "5m"}) for _ in range(2)]
        closing = [await found.call_tool("close_session", IDS) for _ in range(2)]
        return [texts(each) for each in (*opening, *closing)]

    assert with_session(door, work) == [
        ["session a/b is open"],
        ["session a/b was open already"],
        ["closed: its processes and files are gone"],
        ["session not found"],
    ]


def test_stats_need_no_session(door: Opened) -> None:
    assert texts(tool(door, "stats")) == ["2 of 7 sessions are open"]


def test_what_the_room_refuses_is_told_to_the_model(door: Opened) -> None:
    result = tool(door, "exec", command="conflict", **IDS)
    assert (result.is_error, texts(result)) == (True, ["cannot run: the session is frozen; thaw it"])


def test_our_own_faults_are_told_plainly(door: Opened) -> None:
    assert "journal" in texts(tool(door, "exec", command="no such script", **IDS))[0]


# --- credentials


def test_without_credentials_nothing_else_is_looked_at(door: Opened, plain: Plain) -> None:
    reply = plain.post(b"{", Authorization="")
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="strata"')
    assert (door.room.asked, door.room.denied) == ([], [])


def test_a_token_that_the_room_refuses_opens_no_session(plain: Plain) -> None:
    plain.headers["Authorization"] = "Bearer forged"
    assert plain.initialize().status_code == 401


def test_a_session_belongs_to_the_token_that_opened_it(plain: Plain) -> None:
    plain.initialize()
    assert plain.post(request("tools/list"), Authorization="Bearer good-other").status_code == 404
    assert plain.post(request("tools/list")).status_code == 200


def test_each_call_carries_its_own_token(door: Opened) -> None:
    with_session(door, lambda found: found.call_tool("stats", {}), Authorization="Bearer good-7")
    assert door.room.asked[-1][2] == "good-7"


def test_looking_at_a_token_does_nothing_and_needs_no_right(door: Opened, plain: Plain) -> None:
    plain.initialize()
    assert door.room.asked == []
    assert door.room.denied == []


def test_a_web_page_is_refused(plain: Plain) -> None:
    reply = plain.post(request("tools/list"), Origin="https://evil.example")
    assert reply.status_code == 403


def test_a_name_that_was_rebound_is_refused(plain: Plain) -> None:
    assert plain.post(request("tools/list"), Host="evil.example").status_code == 403


def test_without_authentication_nobody_needs_a_token() -> None:
    with opened(Settings(insecure_no_auth=True)) as door, Plain(door, Authorization="") as plain:
        assert plain.initialize().status_code == 200


# --- bounds


def test_one_token_has_its_share_of_sessions(door: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_app, "MOST_SESSIONS_PER_TOKEN", 2)
    with contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(Plain(door)) for _ in range(3))
        assert [each.initialize().status_code for each in (first, second, third)] == [200, 200, 429]
        other = stack.enter_context(Plain(door, Authorization="Bearer good-other"))
        assert other.initialize().status_code == 200
        first.http.request("DELETE", "/mcp/", headers=first.headers)
        assert third.initialize().status_code == 200


def test_one_token_has_no_more_when_it_asks_many_times_at_once(door: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_app, "MOST_SESSIONS_PER_TOKEN", 2)
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = json.dumps(request("initialize", **params)).encode()
    lines = ("Content-Type: application/json", "Accept: application/json, text/event-stream")
    begun = head("/mcp/", *lines, f"Content-Length: {len(body)}", "Connection: close", "Expect: 100-continue")
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", door.port), DEADLINE)) for _ in range(6)]
        for sock in socks:
            sock.sendall(begun)
        for sock in socks:
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # the token of each was looked at
        for sock in socks:
            sock.sendall(body)
        answers = sorted(sock.recv(12) for sock in socks)
    assert answers == [b"HTTP/1.1 200"] * 2 + [b"HTTP/1.1 503"] * 4


def test_an_allowed_page_may_ask_and_read_the_answer() -> None:
    """It asks first whether it may, without credentials (Fetch, 3.3.3)."""
    page = {"Origin": "https://console.example"}
    with opened(Settings(allowed_origins=("https://console.example",))) as door, Plain(door, **page) as plain:
        may = plain.http.options("/mcp/", headers=page | {"Access-Control-Request-Method": "POST"})
        assert (may.status_code, may.headers["access-control-allow-origin"]) == (204, page["Origin"])
        assert "POST" in may.headers["access-control-allow-methods"]
        assert plain.initialize().headers["access-control-allow-origin"] == page["Origin"]
        refused = plain.post(request("tools/list"), Authorization="")
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, page["Origin"])


def test_a_client_that_leaves_within_its_request_is_no_error(
    door: Opened, plain: Plain, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", door.port), DEADLINE) as sock:
        sock.sendall(head("/mcp/", "Content-Type: application/json", "Content-Length: 50", "Expect: 100-continue"))
        assert sock.recv(12) == b"HTTP/1.1 100"
        sock.sendall(b"{")
    assert plain.initialize().status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_all_together_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_app, "MOST_SESSIONS", 1)
    with opened() as door, Plain(door) as first, Plain(door) as second:
        assert [first.initialize().status_code, second.initialize().status_code] == [200, 503]
        assert first.post(request("tools/list")).status_code == 200


def test_an_idle_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_app, "IDLE_SECONDS", 0.2)
    with opened() as door, Plain(door) as plain:
        plain.initialize()
        deadline = time.monotonic() + DEADLINE
        while door.mcp.manager._server_instances:  # to ask it would keep it alive
            assert time.monotonic() < deadline, "the session never ended"
            time.sleep(0.01)
        assert plain.post(request("tools/list")).status_code == 404


def test_a_body_that_is_too_large(plain: Plain) -> None:
    plain.initialize()
    assert plain.post(b"x" * (mcp_app.BODY_BYTES + 1)).status_code == 413


# --- long calls


def test_cancelling_a_call_cancels_the_command(door: Opened) -> None:
    async def work(found: mcp.ClientSession) -> None:
        calling = asyncio.create_task(found.call_tool("exec", {"command": "block"} | IDS))
        await asyncio.to_thread(door.room.blocking.wait, DEADLINE)
        calling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await calling
        assert await asyncio.to_thread(door.room.cancelled.wait, DEADLINE)
        assert texts(await found.call_tool("exec", {"command": "pwd"} | IDS)) == ["/root"]

    with_session(door, work)


def test_the_notification_that_cancels(door: Opened, plain: Plain) -> None:
    """As a client on the wire does it."""
    plain.initialize()
    with Plain(door) as caller, contextlib.ExitStack() as stack:
        caller.headers = plain.headers
        body = request("tools/call", name="exec", arguments={"command": "block"} | IDS) | {"id": 77}
        headers = {"Content-Type": "application/json"} | caller.headers
        stack.enter_context(caller.http.stream("POST", "/mcp/", json=body, headers=headers))
        assert door.room.blocking.wait(DEADLINE)
        told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 77}}
        assert plain.post(told).status_code == 202
        assert door.room.cancelled.wait(DEADLINE)


def test_a_long_call_tells_that_it_goes_on(door: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_app, "_PROGRESS_SECONDS", 0.05)
    heard: list[tuple[float, str | None]] = []

    async def progress(done: float, total: float | None, words: str | None) -> None:
        heard.append((done, words))
        if len(heard) == 2:
            door.release()

    async def work(found: mcp.ClientSession) -> Any:
        return await found.call_tool("exec", {"command": "block"} | IDS, progress_callback=progress)

    with_session(door, work)
    assert len(heard) >= 2
    assert "running for" in str(heard[0][1])


def test_the_end_of_the_door_ends_what_runs() -> None:
    with opened() as door, Plain(door) as plain:
        plain.initialize()
        body = request("tools/call", name="exec", arguments={"command": "block"} | IDS)
        headers = {"Content-Type": "application/json"} | plain.headers
        with plain.http.stream("POST", "/mcp/", json=body, headers=headers):
            assert door.room.blocking.wait(DEADLINE)
    assert door.room.cancelled.wait(DEADLINE)

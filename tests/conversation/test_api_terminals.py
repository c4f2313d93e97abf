# SPDX-License-Identifier: MIT
"""Terminals over WebSockets, with a real client, before a scripted terminal that says back what is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from http_client import ask, head, raw, wait
from rooms import DEADLINE
from rpc_door import LIMITS, Opened, Settings, opened
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

OURS = "/api/v1/sessions/a/b/terminals/main"
OLD = "/api/ws/a/b/shell"


@pytest.fixture
def door() -> Iterator[Opened]:
    with opened() as found:
        yield found


def web(door: Opened, path: str, token: str = "good", origin: str = "", **headers: str) -> ClientConnection:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    if origin:
        sent["Origin"] = origin
    return connect(f"ws://{door.address}{path}", additional_headers=sent, open_timeout=DEADLINE, close_timeout=5)


def until(client: ClientConnection, true: Callable[[list[Any]], bool]) -> list[Any]:
    """All messages up to the one that makes it true."""
    got: list[Any] = []
    while not true(got):
        got.append(client.recv(DEADLINE))
    return got


def text_of(messages: list[Any]) -> str:
    """What the predecessor's messages show."""
    shown = [json.loads(message) for message in messages]
    return "".join(message["data"] for message in shown if message["type"] == "output")


# --- ours


def test_a_terminal_is_raw_bytes_and_json_about_it(door: Opened) -> None:
    with web(door, OURS + "?rows=30&cols=100") as client:
        attached = json.loads(client.recv(DEADLINE))["attached"]
        assert (attached["terminal"], attached["offset"]) == ("main", 40)
        client.send(b"hello\xff")
        until(client, lambda got: b"".join(got) == b"$ you typed hello\xff")
        client.send(b"exit\n")
        got = until(client, lambda got: bool(got) and isinstance(got[-1], str))
        assert got == [b"bye\r\n", '{"ended":"exit","exit_code":0}']
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000
    sent = door.room.last("sandbox.attach")
    assert (sent["terminal"], sent["rows"], sent["cols"]) == ("main", 30, 100)


def test_the_window_may_change(door: Opened) -> None:
    with web(door, OURS) as client:
        client.recv(DEADLINE)
        client.send('{"resize":{"rows":40,"cols":120}}')
        wait(lambda: any(name == "sandbox.resize" for name, _, _ in door.room.asked), "the room was told")
        sent = door.room.last("sandbox.resize")
        assert (sent["rows"], sent["cols"], sent["terminal"]) == (40, 120, "main")


@pytest.mark.parametrize(
    "message", ["x", "{}", '{"resize":{"rows":0,"cols":1}}', '{"resize":{"rows":1}}', '{"paste":""}']
)
def test_a_message_that_is_none_ends_the_connection_with_its_reason(door: Opened, message: str) -> None:
    with web(door, OURS) as client:
        client.recv(DEADLINE)
        client.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            until(client, lambda _: False)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, "cannot read the message" in closed.value.rcvd.reason) == (4400, True)


def test_a_client_that_leaves_is_detached(door: Opened) -> None:
    with web(door, OURS) as client:
        client.recv(DEADLINE)
    wait(lambda: not door.pending(), "the room has let go")


def test_a_terminal_survives_a_restart_of_the_room(door: Opened) -> None:
    """The client notices nothing but a second `attached`; what it has seen is not shown again."""
    with web(door, OURS) as client:
        until(client, lambda got: got[-1:] == [b"$ "])
        door.restart()
        again = json.loads(client.recv(DEADLINE))["attached"]
        assert again["terminal"] == "main"
        assert door.room.last("sandbox.attach")["offset"] == 42
        client.send(b"still here")
        until(client, lambda got: b"".join(got) == b"you typed still here")


def test_a_room_that_stays_away_ends_it() -> None:
    with opened(limits=LIMITS._replace(reattach_seconds=0.3)) as door, web(door, OURS) as client:
        client.recv(DEADLINE)
        door.cut_off()
        with pytest.raises(ConnectionClosed) as closed:
            until(client, lambda _: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013


@pytest.mark.parametrize(
    ("path", "token", "status"), [(OURS, "", 401), (OURS, "bad", 401), ("/api/v1/nothing", "good", 404)]
)
def test_what_is_refused_is_refused_before_the_upgrade(door: Opened, path: str, token: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        web(door, path, token)
    assert refused.value.response.status_code == status


def test_a_browser_says_its_token_in_a_subprotocol(door: Opened) -> None:
    """It cannot send a header; the token is not said back."""
    offered = [Subprotocol("strata"), Subprotocol("bearer.good")]
    with connect(f"ws://{door.address}{OURS}", subprotocols=offered, open_timeout=DEADLINE) as client:
        assert client.subprotocol == "strata"
        assert "attached" in client.recv(DEADLINE)


@pytest.mark.parametrize("header", ["good", "bad"])
def test_who_says_two_tokens_is_refused(door: Opened, header: str) -> None:
    """Somebody before the door may have looked at the one, and the room at the other."""
    sent = {"Authorization": f"Bearer {header}"}
    offered = [Subprotocol("strata"), Subprotocol("bearer.good")]
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{door.address}{OURS}", additional_headers=sent, subprotocols=offered, open_timeout=DEADLINE)
    assert refused.value.response.status_code == 401


def test_130_a_page_of_another_origin_is_refused(door: Opened) -> None:
    for path in (OURS, OLD):
        with pytest.raises(InvalidStatus) as refused:
            web(door, path, origin="http://evil.example")
        assert refused.value.response.status_code == 403
    with (
        opened(Settings(allowed_origins=("https://a.example",))) as other,
        web(other, OURS, origin="https://a.example"),
    ):
        pass


# --- the predecessor's


@pytest.mark.parametrize(("path", "headers"), [(OLD, {}), ("/api/ws/shell", {"X_Owner_Id": "a", "X_Session_Id": "b"})])
def test_164_what_is_typed_is_shown(door: Opened, path: str, headers: dict[str, str]) -> None:
    with web(door, path, **headers) as client:
        client.send('{"type":"input","data":"echo WSTEST_MARKER\\n"}')
        until(client, lambda got: "WSTEST_MARKER" in text_of(got))
    assert door.room.last("sandbox.attach")["owner"] == "a"


def test_165_the_window_may_change_and_junk_is_ignored(door: Opened) -> None:
    with web(door, OLD) as client:
        for junk in (
            "x",
            "[]",
            '{"type":"dance"}',
            '{"type":"resize","rows":70000,"cols":1}',
            '{"type":"resize","rows":0}',
        ):
            client.send(junk)
        client.send(b'{"type":"resize","rows":40,"cols":120}')  # binary messages are treated alike
        client.send('{"type":"input","data":"on"}')
        until(client, lambda got: "you typed on" in text_of(got))
    resized = [params for name, params, _ in door.room.asked if name == "sandbox.resize"]
    assert [(params["rows"], params["cols"]) for params in resized] == [(40, 120)]


def test_166_missing_ids_are_refused_before_the_upgrade(door: Opened) -> None:
    with pytest.raises(InvalidStatus) as refused:
        web(door, "/api/ws/shell")
    assert refused.value.response.status_code == 400


def test_166_a_shell_that_ends_says_so_and_closes(door: Opened) -> None:
    with web(door, OLD) as client:
        client.send('{"type":"input","data":"exit\\n"}')
        got = until(client, lambda got: bool(got) and "error" in got[-1])
        assert json.loads(got[-1]) == {"type": "error", "data": "session closed"}
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1000


def test_a_shell_that_cannot_be_opened_says_why(door: Opened) -> None:
    with web(door, OLD, token="bad") as client:
        assert json.loads(client.recv(DEADLINE)) == {"type": "error", "data": "invalid token"}
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_167_a_character_is_never_split(door: Opened) -> None:
    """Its bytes come one by one; each message is whole characters."""
    word = "naïve 日本 🦀"
    with web(door, OLD) as client:
        until(client, lambda got: text_of(got) == "$ ")
        door.room.slowly = True
        client.send(json.dumps({"type": "input", "data": word}))
        got = until(client, lambda got: text_of(got) == "you typed " + word)
        assert "\ufffd" not in text_of(got)
        assert len(got) > 5


def test_167_two_viewers_both_see_the_terminal(door: Opened) -> None:
    """What they share is the room's; the door gives each a seat of its own."""
    with web(door, OLD) as one, web(door, OLD) as two:
        for client in (one, two):
            client.send('{"type":"input","data":"x"}')
            until(client, lambda got: "you typed x" in text_of(got))


def test_a_message_over_the_limit_ends_the_connection(door: Opened) -> None:
    with web(door, OURS) as client:
        client.recv(DEADLINE)
        client.send(b"x" * (LIMITS.message_bytes + 1))
        with pytest.raises(ConnectionClosed) as closed:
            until(client, lambda _: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_what_is_no_upgrade_is_told_so(door: Opened) -> None:
    assert ask(door, "GET", OLD).status == 400
    assert ask(door, "GET", OURS).status == 400


def test_a_client_that_answers_no_ping_is_dropped() -> None:
    with opened(limits=LIMITS._replace(ping_seconds=0.3)) as door:
        upgrade = head(OURS, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", verb="GET")  # fmt: skip
        assert raw(door, upgrade).startswith(b"HTTP/1.1 101 ")  # and then it was hung up on
        wait(lambda: not door.pending(), "the room has let go")

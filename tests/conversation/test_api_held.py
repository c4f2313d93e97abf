# SPDX-License-Identifier: MIT
"""What clients may make the door hold in memory (strata/api/held.py), over HTTP, MCP and gRPC."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

import grpc
import pytest
from http_client import ask, head, wait
from rooms import DEADLINE
from rpc_door import EXEC, LIMITS, Opened, opened, result

from strata.api import mcp_app
from strata.api.held import Held
from strata.api.proto.strata.v1 import sandbox_pb2 as v1
from strata.errors import Unavailable

KILO = 1000
LITTLE = LIMITS._replace(held_bytes=1_000_000)
EXEC_PATH = "/api/v1/sessions/a/b/exec"
JSON = "Content-Type: application/json"
BODY = json.dumps({"command": "pwd", "stdin": "x" * 400 * KILO}).encode()


@pytest.fixture
def little() -> Iterator[Opened]:
    with opened(limits=LITTLE) as found:
        yield found


@contextlib.contextmanager
def sent(door: Opened, *pieces: bytes) -> Iterator[socket.socket]:
    """A client who has sent that and waits."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as sock:
        for piece in pieces:
            sock.sendall(piece)
        yield sock


def ended(sock: socket.socket) -> bool:
    """Whether the door has hung up, without an answer."""
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("path", [EXEC_PATH, "/api/sessions/a/b/exec", "/mcp/"])
def test_bodies_that_come_slowly_have_one_budget_and_who_began_first_goes(little: Opened, path: str) -> None:
    begun = head(path, JSON, f"Content-Length: {len(BODY)}", "Mcp-Session-Id: none") + BODY[:-1]
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(sent(little, begun)) for _ in range(4)]
        assert ended(slow[0])
        assert ask(little, "POST", EXEC_PATH, BODY).status == 200
        assert ask(little, "POST", EXEC_PATH, BODY).status == 200
        assert ended(slow[1])


def test_what_is_answered_or_left_is_held_no_more(little: Opened) -> None:
    with sent(little, head(EXEC_PATH, f"Content-Length: {len(BODY)}") + BODY[:-1]):
        pass
    for _ in range(10):
        assert ask(little, "POST", EXEC_PATH, BODY).status == 200


def test_who_has_sent_all_is_not_dropped_and_newcomers_are_told(little: Opened) -> None:
    blocking = BODY.replace(b'"pwd"', b'"block"')
    request = head(EXEC_PATH, f"Content-Length: {len(blocking)}") + blocking
    with sent(little, request) as first, sent(little, request) as second:
        wait(lambda: len(little.room.asked) == 2, "both are at the room")
        refused = ask(little, "POST", EXEC_PATH, BODY)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert ask(little, "POST", EXEC_PATH, b'{"command":"pwd"}').status == 200
        little.release()
        assert [sock.recv(12) for sock in (first, second)] == [b"HTTP/1.1 200"] * 2


def test_answers_that_nobody_takes_are_held_within_the_budget(little: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """More answers than the kernel keeps for a connection: of three that take none, one at most is held."""
    monkeypatch.setitem(EXEC, "large", result("x" * 300 * KILO, stderr="y" * 300 * KILO))
    body = b'{"command":"large"}'
    large, last = (
        head(EXEC_PATH, f"Content-Length: {len(body)}", *lines) + body for lines in ((), ["Connection: close"])
    )
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(sent(little, large * 19 + last)) for _ in range(3)]
        wait(quiet(lambda: len(little.room.asked)), "all are stuck")
        assert ask(little, "GET", "/api/stats").status == 200
        assert [received(sock) > 18_000 * KILO for sock in socks].count(True) == 1


def quiet(count: Callable[[], int]) -> Callable[[], bool]:
    """Whether the count has not grown for a second."""
    last, since = -1, 0.0

    def still() -> bool:
        nonlocal last, since
        if (now := count()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > 1.0

    return still


def received(sock: socket.socket) -> int:
    """How many bytes still come."""
    total = 0
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65_536):
            total += len(data)
    return total


def test_messages_that_grpc_clients_begin_are_held_within_the_budget(little: Opened) -> None:
    """Of every call so much is taken as its first message may have, whoever calls."""
    with socket.create_connection(("127.0.0.1", little.port), timeout=DEADLINE) as sock:
        sock.sendall(opening())
        with contextlib.suppress(ConnectionError):
            for stream in range(1, 41, 2):
                sock.sendall(begun(stream))
                for _ in range(4):
                    sock.sendall(framed(0, 0, stream, b"x" * 16_000))
            while sock.recv(65_536):
                pass
    channel = grpc.insecure_channel(little.address)
    try:
        call = channel.unary_unary(
            "/strata.v1.SandboxService/Stats", v1.StatsRequest.SerializeToString, v1.StatsReply.FromString
        )
        assert call(v1.StatsRequest(), metadata=(("authorization", "Bearer good"),), timeout=DEADLINE).max_sessions == 7
    finally:
        channel.close()


def framed(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def opening() -> bytes:
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + framed(4, 0, 0, b"")


def begun(stream: int) -> bytes:
    """A call with a token that nobody looked at, and a message of 4 MB that is to come."""
    fields = {":method": "POST", ":scheme": "http", ":path": "/strata.v1.SandboxService/Exec", ":authority": "x",
              "content-type": "application/grpc", "te": "trailers", "authorization": "Bearer none"}  # fmt: skip
    block = b"".join(
        b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in fields.items()
    )
    return framed(1, 4, stream, block) + framed(0, 0, stream, b"\x00" + (4_000_000).to_bytes(4, "big"))


def test_the_share_of_a_body_is_that_of_the_door() -> None:
    assert LIMITS.held_bytes > mcp_app.BODY_BYTES
    assert LIMITS.body_bytes < LIMITS.held_bytes


# --- the budget alone


def test_the_oldest_goes_first_and_who_is_the_oldest_is_refused() -> None:
    held, dropped = Held(100), []
    first, second, third = (held.share(lambda name=name: dropped.append(name)) for name in "abc")
    for share in (first, second):
        share.grow(50)
    third.grow(40)
    assert (dropped, held.total) == (["a"], 90)
    with pytest.raises(Unavailable):
        second.grow(50)
    second.release()
    third.release()
    assert (dropped, held.total) == (["a"], 0)


def test_who_is_answered_is_not_dropped_and_what_is_owed_not_refused() -> None:
    held, dropped = Held(100), []
    first, second = (held.share(lambda name=name: dropped.append(name)) for name in "ab")
    first.grow(80)
    first.settle()
    with pytest.raises(Unavailable):
        second.grow(30)
    second.release()
    second.owe(30)
    first.owe(30)
    assert (dropped, held.total) == (["b"], 110)

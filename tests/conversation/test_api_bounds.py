# SPDX-License-Identifier: MIT
"""How much of the door one client, and all of them together, may take (strata/api/limits.py)."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from http_client import ask, head, raw, wait
from rooms import DEADLINE
from rpc_door import LIMITS, Opened, opened

SMALL = LIMITS._replace(
    header_bytes=4096, header_seconds=0.3, body_seconds=0.3, idle_seconds=1.0, room_connections=6,
    reserved_room_connections=2, waiting_calls=3, wait_seconds=0.3, calls_per_token=12, connections=40,
)  # fmt: skip
PWD = b'{"command":"pwd"}'


@pytest.fixture
def door() -> Iterator[Opened]:
    with opened() as found:
        yield found


@pytest.fixture
def small() -> Iterator[Opened]:
    with opened(limits=SMALL) as found:
        yield found


# --- bounds


def test_a_body_over_the_limit_is_413(door: Opened) -> None:
    large = b'{"command":"' + b"x" * LIMITS.body_bytes + b'"}'
    assert ask(door, "POST", "/api/sessions/a/b/exec", large).status == 413
    assert ask(door, "POST", "/api/v1/sessions/a/b/exec", large).status == 413
    told = raw(door, head("/api/sessions/a/b/exec", "Content-Length: 99999999999", "Connection: close"))
    assert told.startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_over_the_limit_is_413(door: Opened) -> None:
    pieces = (b"x" * 65_536 for _ in range(17))
    assert ask(door, "POST", "/api/sessions/a/b/exec", pieces).status == 413


def test_headers_over_the_limit_are_431(small: Opened) -> None:
    assert raw(small, head("/api/stats", "X: " + "y" * 5000, verb="GET")).startswith(b"HTTP/1.1 431 ")
    assert raw(small, b"GET /" + b"x" * 9000).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02\x00\x01", b"HELLO\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"]
)
def test_what_is_no_http_is_400(door: Opened, nonsense: bytes) -> None:
    assert raw(door, nonsense + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_request_with_two_lengths_is_refused(door: Opened) -> None:
    """Whoever stands before the door might read it in another way (RFC 9112, 11.2)."""
    both = head("/api/sessions/a/b/exec", "Content-Length: 5", "Transfer-Encoding: chunked")
    assert raw(door, both + b"0\r\n\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "pieces",
    [[b""], [b"P"], [b"PRI * HTTP/2"], [b"GET /api/st"], [head("/api/stats", verb="GET")[:-2]]],
    ids=["nothing", "a letter", "half a preface", "half a line", "no end"],
)
def test_a_client_that_takes_too_long_is_dropped(small: Opened, pieces: list[bytes]) -> None:
    begin = time.monotonic()
    assert raw(small, *pieces)[:13] in (b"", b"HTTP/1.1 408 ")
    assert time.monotonic() - begin < 5


def test_a_body_that_stops_coming_is_408_and_the_request_ends(small: Opened) -> None:
    assert raw(small, head("/api/sessions/a/b/exec", "Content-Length: 50"), b'{"comm').startswith(b"HTTP/1.1 408 ")


def test_a_connection_may_rest_between_requests_but_not_for_ever(small: Opened) -> None:
    told = raw(small, head("/api/stats", verb="GET"))
    assert told.startswith(b"HTTP/1.1 200 ")


def test_requests_that_come_at_once_are_answered_in_order(door: Opened) -> None:
    last = head("/api/nothing", "Connection: close", verb="GET")
    told = raw(door, head("/api/stats", verb="GET") * 3 + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"200", b"200", b"200", b"404"]


def test_more_connections_than_there_may_be_are_told_so(small: Opened) -> None:
    with_them = [
        socket.create_connection(("127.0.0.1", small.port), timeout=DEADLINE) for _ in range(SMALL.connections)
    ]
    try:
        for sock in with_them:
            sock.sendall(head("/api/stats", verb="GET"))
            sock.recv(10)
        assert raw(small, head("/api/stats", verb="GET")).startswith(b"HTTP/1.1 503 ")
    finally:
        for sock in with_them:
            sock.close()


def test_a_crowd_that_says_nothing_keeps_nobody_out() -> None:
    with opened(limits=LIMITS._replace(connections=20)) as door, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", door.port), DEADLINE)) for _ in range(25)]
        assert [sock.recv(1) for sock in crowd[:5]] == [b""] * 5
        assert ask(door, "GET", "/api/stats").status == 200
        crowd[-1].sendall(head("/api/stats", verb="GET"))
        assert crowd[-1].recv(12) == b"HTTP/1.1 200"


# --- many at once


def blocked(door: Opened, count: int, token: str = "good") -> list[socket.socket]:
    """As many requests that are being answered."""
    found = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE)
        body = b'{"command":"block"}'
        request = head("/api/sessions/a/b/exec", f"Content-Length: {len(body)}").replace(b"good", token.encode())
        sock.sendall(request + body)
        found.append(sock)
    wait(lambda: len(door.room.asked) >= count, "all are at the room")
    return found


def test_129_a_hundred_that_wait_do_not_delay_stats() -> None:
    with opened() as door:
        waiting = blocked(door, 100)
        begin = time.monotonic()
        assert ask(door, "GET", "/api/stats").status == 200
        assert time.monotonic() - begin < 1
        door.release()
        for sock in waiting:
            assert sock.recv(12) == b"HTTP/1.1 200"
            sock.close()


def test_when_every_way_to_the_room_is_in_use_quick_calls_are_still_answered(small: Opened) -> None:
    waiting = blocked(small, SMALL.room_connections - SMALL.reserved_room_connections)
    assert ask(small, "GET", "/api/stats").status == 200
    refused = ask(small, "POST", "/api/sessions/a/b/exec", PWD)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    small.release()
    for sock in waiting:
        assert sock.recv(12) == b"HTTP/1.1 200"
        sock.close()
    assert ask(small, "POST", "/api/sessions/a/b/exec", PWD).status == 200


def test_no_more_wait_than_may(small: Opened) -> None:
    waiting = blocked(small, SMALL.room_connections - SMALL.reserved_room_connections)
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(small, "POST", "/api/sessions/a/b/exec", PWD).status))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert answers == [503] * 5
    for sock in waiting:
        sock.close()


def test_one_token_does_not_take_the_whole_door() -> None:
    with opened(limits=LIMITS._replace(calls_per_token=3)) as door:
        waiting = blocked(door, 3, "good-greedy")
        assert ask(door, "GET", "/api/stats", token="good-greedy").status == 429
        assert ask(door, "GET", "/api/stats", token="good-other").status == 200
        for sock in waiting:
            sock.close()


def test_152_a_client_that_hangs_up_cancels_its_command() -> None:
    with opened() as door:
        blocked(door, 1)[0].close()
        assert door.room.cancelled.wait(DEADLINE)
        assert ask(door, "POST", "/api/sessions/a/b/exec", PWD).json["output"] == "/root"


def test_a_room_that_is_gone_is_503() -> None:
    with opened() as door:
        assert ask(door, "GET", "/api/stats").status == 200
        door.cut_off()
        found = ask(door, "GET", "/api/stats")
        assert (found.status, found.json["name"]) == (503, "UNAVAILABLE")


def test_the_end_of_the_door_cancels_what_is_running_and_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with opened() as door:
        waiting = blocked(door, 3)
    assert door.room.cancelled.is_set()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    for sock in waiting:
        assert sock.recv(100) == b""
        sock.close()

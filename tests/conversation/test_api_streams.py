# SPDX-License-Identifier: MIT
"""Bytes through the door: programs, files, archives and events, of any size and never held whole."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from http_client import ask, head, wait
from rooms import DEADLINE
from rpc_door import LIMITS, Opened, opened

SESSION = "/api/v1/sessions/a/b"
FRAMED = {"Accept": "application/vnd.strata.stream"}
DATA = os.urandom(300_000)


@pytest.fixture
def door() -> Iterator[Opened]:
    with opened() as found:
        yield found


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Kinds and contents, as docs/http.md has them."""
    found = []
    while body:
        kind, size = struct.unpack(">B3xI", body[:8])
        found.append((kind, body[8 : 8 + size]))
        body = body[8 + size :]
    return found


def of(kind: int, body: bytes) -> bytes:
    return b"".join(content for found, content in frames(body) if found == kind)


# --- programs


def test_a_program_answers_in_json(door: Opened) -> None:
    found = ask(door, "POST", SESSION + "/run", '{"argv":["x"]}')
    assert (found.status, found.json["stdout"]) == (200, "out")
    assert door.room.last("sandbox.run") == {"owner": "a", "session": "b", "argv": ["x"]}


def test_a_program_in_the_background_answers_at_once(door: Opened) -> None:
    found = ask(door, "POST", SESSION + "/run", '{"argv":["x"],"background":true}', **FRAMED)
    assert found.json == {"id": "r1", "state": "running"}


def test_output_streams_apart_and_the_result_comes_last(door: Opened) -> None:
    found = ask(door, "POST", SESSION + "/run", '{"argv":["to","out","to err"]}', **FRAMED)
    assert (of(1, found.body), of(2, found.body)) == (b"to out", b"to err")
    assert frames(found.body)[-1][0] == 3
    assert json.loads(of(3, found.body))["exit_code"] == 0


def test_the_body_is_standard_input_where_the_query_says_what_to_run(door: Opened) -> None:
    found = ask(door, "POST", SESSION + "/run?argv=cat&env=A%3D1&cwd=/tmp&timeout_ms=5000", DATA[:50_000], **FRAMED)
    assert of(1, found.body) == DATA[:50_000]
    sent = door.room.last("sandbox.run")
    assert (sent["argv"], sent["env"], sent["cwd"], sent["timeout_ms"]) == (["cat"], {"A": "1"}, "/tmp", 5000)
    assert sent["descriptors"] == ["stdin", "stdout", "stderr"]


def test_input_and_output_stream_both_ways_at_once(door: Opened) -> None:
    """More than all buffers on the way hold."""
    size, got = 30_000_000, 0
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as sock:
        begin = head(
            SESSION + "/run?argv=cat", f"Content-Length: {size}", "Connection: close", f"Accept: {FRAMED['Accept']}"
        )

        def send() -> None:
            sock.sendall(begin)
            for _ in range(size // 100_000):
                sock.sendall(DATA[:100_000])

        sender = threading.Thread(target=send)
        sender.start()
        while part := sock.recv(1 << 20):
            got += len(part)
        sender.join(DEADLINE)
    assert got > size


def test_a_stream_begins_before_the_program_has_ended_and_its_client_may_leave(door: Opened) -> None:
    """Vector 152."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as sock:
        body = b'{"argv":["block"]}'
        sock.sendall(head(SESSION + "/run", f"Content-Length: {len(body)}", f"Accept: {FRAMED['Accept']}") + body)
        got = b""
        while b"first words" not in got:
            got += sock.recv(65_536)
    assert door.room.cancelled.wait(DEADLINE)


def test_what_fails_before_it_began_has_a_status(door: Opened) -> None:
    found = ask(door, "POST", SESSION + "/run", '{"argv":["x"]}', token="bad", **FRAMED)
    assert (found.status, found.json["error"]) == (401, "invalid token")


@pytest.mark.parametrize("query", ["argv=a&env=b", "argv=a&timeout_ms=x", "argv=a&shell=1", "argv=%ff"])
def test_a_query_that_cannot_be_read_is_refused(door: Opened, query: str) -> None:
    assert ask(door, "POST", f"{SESSION}/run?{query}", b"").status == 400


def test_output_is_read_again_from_an_offset(door: Opened) -> None:
    found = ask(door, "GET", SESSION + "/runs/r1/output?stdout=7")
    assert found.headers["content-type"] == "application/x-ndjson"
    events = [json.loads(line) for line in found.body.splitlines()]
    assert events[0] == {"stream": "stdout", "offset": 7, "data": "text"}
    assert events[-1]["ended"] == "exit"
    assert door.room.last("sandbox.output")["offset"] == {"stdout": 7, "stderr": 0}


def test_events_come_as_the_browser_likes_them(door: Opened) -> None:
    found = ask(door, "GET", SESSION + "/runs/r1/output", Accept="text/event-stream")
    assert found.headers["content-type"] == "text/event-stream"
    assert found.body.startswith(b'data: {"stream":"stdout","offset":0,"data":"text"}\n\ndata: ')


def test_who_follows_and_leaves_lets_the_room_go(door: Opened) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as sock:
        sock.sendall(head(SESSION + "/watch?path=/root", verb="GET"))
        got = b""
        while b"/root/b" not in got:
            got += sock.recv(65_536)
    assert door.room.cancelled.wait(DEADLINE)


def test_head_of_a_stream_does_not_wait(door: Opened) -> None:
    assert ask(door, "HEAD", SESSION + "/watch?path=/root").status == 200


# --- files


def test_a_file_goes_there_and_back(door: Opened) -> None:
    put = ask(door, "PUT", SESSION + "/files?path=/root/x&mode=0600", DATA)
    assert put.json["sha256"] == hashlib.sha256(DATA).hexdigest()
    sent = door.room.last("sandbox.put")
    assert (sent["size"], sent["mode"]) == (len(DATA), "0600")
    got = ask(door, "GET", SESSION + "/files?path=/root/x")
    assert (got.status, got.body, got.headers["content-length"]) == (200, DATA, str(len(DATA)))
    assert got.headers["content-disposition"] == "attachment"


def test_a_file_of_unknown_length_is_put_whole(door: Opened) -> None:
    assert ask(door, "PUT", SESSION + "/files?path=/x", iter([DATA[:10], DATA[10:]])).json["size"] == len(DATA)
    assert "size" not in door.room.last("sandbox.put")


@pytest.mark.parametrize("length", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_half_a_file_is_none(door: Opened, length: bytes) -> None:
    """A client that hangs up in the middle; the room would take an end of the pipe for the end of the file."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as sock:
        piece = b"5\r\nPAUSE\r\n" if b"chunked" in length else b"PAUSE"
        sock.sendall(head(SESSION + "/files?path=/half", length.decode(), verb="PUT") + piece)
        assert door.room.blocking.wait(DEADLINE)
    door.room.cancelled.set()
    wait(lambda: not door.pending(), "the room has let go")
    assert "/half" not in door.room.files


def test_what_the_room_refuses_is_told_though_the_body_is_still_coming(door: Opened) -> None:
    found = ask(door, "PUT", SESSION + "/files?path=/etc/shadow", b"x" * 200_000)
    assert (found.status, found.json["error"]) == (403, "cannot put /etc/shadow: it is not yours")


def test_a_part_of_a_file(door: Opened) -> None:
    door.room.files["/x"] = DATA
    part = ask(door, "GET", SESSION + "/files?path=/x", Range="bytes=10-19")
    assert (part.status, part.body) == (206, DATA[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(DATA)}"
    beyond = ask(door, "GET", SESSION + "/files?path=/x", Range="bytes=999999-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(DATA)}")


def test_a_part_of_another_file_is_the_whole_one(door: Opened) -> None:
    """If-Range: the client has half of what the file was before."""
    door.room.files["/x"] = DATA
    tag = ask(door, "HEAD", SESSION + "/files?path=/x").headers["etag"]
    assert ask(door, "GET", SESSION + "/files?path=/x", Range="bytes=5-", If_Range=tag).status == 206
    assert ask(door, "GET", SESSION + "/files?path=/x", Range="bytes=5-", If_Range='"other"').status == 200


def test_head_tells_the_size_and_an_empty_file_is_empty(door: Opened) -> None:
    door.room.files |= {"/x": DATA, "/empty": b""}
    assert ask(door, "HEAD", SESSION + "/files?path=/x").headers["content-length"] == str(len(DATA))
    empty = ask(door, "GET", SESSION + "/files?path=/empty")
    assert (empty.status, empty.body) == (200, b"")


def test_a_file_that_is_not_there_is_404(door: Opened) -> None:
    assert ask(door, "GET", SESSION + "/files?path=/nothing").status == 404
    assert ask(door, "GET", SESSION + "/files?path=/nothing", **FRAMED).status == 404


def test_the_sum_comes_with_the_file_for_who_asks(door: Opened) -> None:
    door.room.files["/x"] = DATA
    found = ask(door, "GET", SESSION + "/files?path=/x", **FRAMED)
    assert of(1, found.body) == DATA
    assert json.loads(of(3, found.body))["sha256"] == hashlib.sha256(DATA).hexdigest()


def test_an_archive_streams(door: Opened) -> None:
    found = ask(door, "GET", SESSION + "/export")
    assert (found.status, len(found.body), found.headers["content-type"]) == (200, 1_000_000, "application/x-tar")


def test_an_archive_that_fails_in_the_middle_is_seen_to_be_cut(door: Opened) -> None:
    with pytest.raises(http.client.IncompleteRead):
        ask(door, "GET", SESSION + "/export?path=/gone")
    framed = ask(door, "GET", SESSION + "/export?path=/gone", **FRAMED)
    assert frames(framed.body)[-1][0] == 4
    assert json.loads(of(4, framed.body))["name"] == "CONFLICT"


def test_large_files_are_not_held_in_memory(door: Opened) -> None:
    """200 MB down, to a reader that takes its time: what the door holds stays what its buffers are."""
    door.room.files["/big"] = b"x" * 200_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=DEADLINE)
    try:
        connection.request("GET", SESSION + "/files?path=/big", headers={"Authorization": "Bearer good"})
        response, size = connection.getresponse(), 0
        while part := response.read(1 << 20):
            size += len(part)
    finally:
        connection.close()
    assert size == 200_000_000
    # The scripted room makes one copy of the file for its sum; the door's own would be a second.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 260_000


def test_a_client_that_does_not_read_is_not_waited_for_without_end() -> None:
    with opened(limits=LIMITS._replace(write_seconds=0.3)) as door:
        door.room.files["/big"] = b"x" * 50_000_000
        with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as sock:
            sock.sendall(head(SESSION + "/files?path=/big", verb="GET"))
            wait(lambda: door.room.asked and not door.pending(), "the room was let go")


def test_other_methods_are_handed_on(door: Opened) -> None:
    handed: list[tuple[str, str, Any, str]] = [
        ("POST", "/extend", {"ttl": "5m"}, "sandbox.extend"),
        ("POST", "/runs/r9/signal", {"signal": "INT"}, "sandbox.signal"),
        ("POST", "/runs/r9/kill", None, "sandbox.kill"),
        ("GET", "/usage", None, "sandbox.usage"),
        ("GET", "/entries?path=/root", None, "sandbox.files"),
        ("DELETE", "/files?path=/x", None, "sandbox.remove"),
        ("POST", "/move", {"from": "/x", "to": "/y"}, "sandbox.move"),
    ]
    for verb, path, body, method in handed:
        assert ask(door, verb, SESSION + path, body and json.dumps(body)).status == 200, path
        assert door.room.last(method)["owner"] == "a"
    assert door.room.last("sandbox.signal") == {"owner": "a", "session": "b", "id": "r9", "signal": "INT"}

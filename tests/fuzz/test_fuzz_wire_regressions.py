# SPDX-License-Identifier: MIT
"""What the wire targets have found, each by name."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import unittest.mock
from collections.abc import Iterator
from pathlib import Path

import hpack
import pytest
from hostile.door import Hall, heard, send
from targets import agent, client, grpc

from strata.api.http1 import EARLY_BYTES, Upgraded
from strata.client import local
from strata.errors import Internal
from strata.sandbox.ring import Ring
from strata.sandbox.run import About, Parts, Run
from strata.sandbox.stream import Stream

UPGRADE = (
    b"GET /api/ws/a/b/shell HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer good\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.fixture(scope="module")
def hall() -> Iterator[Hall]:
    found = Hall()
    found.open()
    yield found
    found.close()


# --- the door


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"Content-Length: 3\r\n\r\nabc", b"400"),
        (b"".join(b"X-%d: a\r\n" % number for number in range(200)) + b"\r\n", b"431"),
        (b"X: " + b"a" * 9000 + b"\r\n\r\n", b"431"),
    ],
    ids=["a body", "many headers", "a long header"],
)
def test_an_upgrade_that_the_library_cannot_read_is_answered_and_closed(hall: Hall, more: bytes, status: bytes) -> None:
    """It was neither, so that anybody could hold all of the door's connections, for ever."""
    assert hall.ask([UPGRADE + more]).startswith(b"HTTP/1.1 " + status)
    hall.check()


@pytest.mark.parametrize("path", [b"*", b"/nothing", b"/%ff"])
def test_a_refused_upgrade_is_no_fault_of_the_doors(hall: Hall, path: bytes) -> None:
    """An error was logged for each."""
    assert hall.ask([UPGRADE.replace(b"/api/ws/a/b/shell", path) + b"\r\n"]).startswith(b"HTTP/1.1 4")
    hall.check()


def test_a_text_message_that_is_no_text_is_no_fault_of_the_doors(hall: Hall) -> None:
    """A traceback was logged for each."""
    with hall.connect() as sock:
        send(sock, [UPGRADE + b"\r\n"])
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        send(sock, [b"\x81\x81\0\0\0\0\xff"])
        with contextlib.suppress(ConnectionResetError):
            assert b"\x03\xef" in heard(sock)  # 1007
    hall.check()


def test_who_speaks_before_his_upgrade_is_answered_is_cut_off_without_a_fault_of_the_doors(hall: Hall) -> None:
    """An assertion of the library's failed, and its traceback was logged."""
    upgrade = UPGRADE.replace(b"/api/ws/a/b/shell", b"/api/v1/sessions/a/b/terminals/main")
    for _ in range(20):
        with hall.connect() as sock:
            send(sock, [upgrade + b"\r\n", b"\x00\x00", b"\xff\xff\xff"])
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
            heard(sock)
        hall.check()


def test_a_text_message_that_is_no_text_with_a_close_frame_behind_it_is_no_fault_of_the_doors(hall: Hall) -> None:
    """The library refused to close what was being closed, and its traceback was logged."""
    with hall.connect() as sock:
        send(sock, [UPGRADE + b"\r\n"])
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        send(sock, [b"\x81\x81\0\0\0\0\xff\x88\x82\0\0\0\0\x03\xe8"])
        heard(sock)
    hall.check()


def test_nothing_is_said_before_an_upgrade_is_answered(hall: Hall) -> None:
    """The answer to a ping came first, and so the upgrade's was none."""
    upgrade = UPGRADE.replace(b"/api/ws/a/b/shell", b"/api/v1/sessions/a/b/terminals/main")
    for _ in range(10):
        with hall.connect() as sock:
            send(sock, [upgrade + b"\r\n", b"\x89\x82\0\0\0\0hi"])
            assert sock.recv(65_536).startswith(b"HTTP/1.1 101 ")
        hall.check()


def test_what_a_client_sends_before_its_upgrade_is_answered_is_not_kept_without_bound(hall: Hall) -> None:
    async def body() -> None:
        protocol = Upgraded(hall.http1._config, hall.http1._state, {})
        protocol.transport, protocol.handshake_initiated = unittest.mock.Mock(), True
        for _ in range(100):
            if not protocol.transport.abort.called:
                protocol.data_received(b"\0" * 1000)
        assert protocol.transport.abort.called
        assert len(protocol.conn.reader.buffer) + len(protocol._early) < 2 * EARLY_BYTES

    asyncio.run(body())


@pytest.mark.parametrize("path", ["/grpc.health.v1.Health/Check", "/strata.v1.SandboxService/Stats"])
@pytest.mark.parametrize(
    ("data", "status"), [(b"\x01\x00\x00\x00\x01x", "12"), (b"\x00\x00\x00\x00\x0b", "3")], ids=["compressed", "short"]
)
def test_a_message_that_cannot_be_read_is_its_senders_fault(hall: Hall, path: str, data: bytes, status: str) -> None:
    """Compressed ones of health and reflection, and lengths that nothing followed, were internal errors, and a
    traceback was logged for each."""
    request = grpc._frame(grpc.HEADERS, 4, 1, hpack.Encoder().encode(grpc.HEAD | {":path": path}))
    message = grpc._frame(grpc.DATA, 1, 1, data)
    with hall.connect() as sock:
        send(sock, [grpc._BEGIN + request + message])
        found = b""
        while grpc.status(found) is None:
            found += sock.recv(65_536)
    assert grpc.status(found) == status
    hall.check()


def test_a_call_without_a_message_is_its_senders_fault(hall: Hall) -> None:
    """Of health, an assertion of the library's failed, and its traceback was logged."""
    encoded = hpack.Encoder().encode(grpc.HEAD | {":path": "/grpc.health.v1.Health/Check"})
    with hall.connect() as sock:
        send(sock, [grpc._BEGIN + grpc._frame(grpc.HEADERS, 5, 1, encoded)])
        found = b""
        while grpc.status(found) is None:
            found += sock.recv(65_536)
    assert grpc.status(found) == "3"  # INVALID_ARGUMENT
    hall.check()


@pytest.mark.parametrize("allowed", [0, 16, 4096, 65_536, 2**32 - 1])
def test_a_client_may_allow_a_larger_table_of_headers_and_is_not_given_it(hall: Hall, allowed: int) -> None:
    """The door kept as much of what it had answered as the client liked, errors included: up to 4 GiB a connection."""
    settings = grpc._frame(grpc.SETTINGS, 0, 0, struct.pack("!HI", 1, allowed))
    encoder, sent, found = hpack.Encoder(), grpc._BEGIN + settings, b""
    for stream in range(1, 101, 2):
        headers = grpc.HEAD | {":path": f"/strata.v1.SandboxService/{'x' * 100}{stream}"}
        sent += grpc._frame(grpc.HEADERS, 5, stream, encoder.encode(headers))
    with hall.connect() as sock:
        send(sock, [sent])
        while len(heads := grpc._heads(found)) < 50:  # by a decoder that allows 4096 bytes
            found += sock.recv(65_536)
    assert {told["grpc-status"] for told in heads} == {"12"}  # UNIMPLEMENTED
    hall.check()


# --- what a sandbox may hold the other end of


@pytest.fixture(scope="module")
def room() -> Iterator[None]:
    agent.setup()
    yield
    agent.teardown()


@pytest.mark.parametrize(
    "word",
    [
        b'{"exit_code":0,"cpu_ms":1,"max_rss":1e999}\n',
        b"[" * 60_000 + b"\n",
        b'{"exit_code":"0","cpu_ms":1,"max_rss":1}\n',
        b'{"exit_code":[0],"cpu_ms":NaN,"max_rss":1}\n',
        b'{"signal":1234567,"cpu_ms":1,"max_rss":1}\n',
        b'{"exit_code":0,"signal":9,"cpu_ms":1,"max_rss":1}\n',
        b'{"stage":["exec"],"errno":2,"message":"x"}\n',
        b"{}\n",
    ],
    ids=["infinite", "deep", "text", "list", "no signal", "both", "no stage", "neither"],
)
def test_a_keepers_word_that_makes_no_sense_is_an_end_that_is_not_known(room: None, word: bytes) -> None:
    """The first two raised in the loop's reader, which was called again and again for ever; the others were believed,
    or broke what was made of them."""
    agent.check(b"\x00\x00" + word)


@pytest.mark.parametrize(
    "line",
    [b"[" * 60_000, b"5", b'{"error":5}', b'{"error":{"code":[]}}', b'{"error":{}}', b'{"result":[]}', b'{"item":"x"}'],
    ids=["deep", "number", "error", "code", "empty", "result", "item"],
)
def test_an_answer_of_a_worker_that_makes_no_sense_is_one_of_the_eight_errors(room: None, line: bytes) -> None:
    agent.check(b"\x01\x00" + line + b"\n")


@pytest.mark.parametrize("ended", [False, True], ids=["it runs", "what it left runs"])
def test_output_that_is_not_followed_ends_whoever_goes_on_writing(ended: bool) -> None:
    """42 MB of a program that wrote without a pause were told of one that keeps 1 MiB; it ended by chance."""

    async def body() -> None:
        streams = [Stream(name, Ring.make(name, 4096), -1, lambda: None) for name in ("stdout", "stderr")]
        run = Run(About("1", ("yes",), "/", 0.0, 0), unittest.mock.Mock())
        run._parts = Parts(streams[0], streams[1], None, unittest.mock.Mock())
        if ended:
            run.done.set()
        streams[0].ring.append(b"y" * 4000)
        count = 0
        async for item in run.output({}, follow=ended):  # noqa: B007  the last one counts
            count += 1
            assert count < 10
            for stream in streams:
                stream.ring.append(b"y" * 3000)
        assert item["state"] == "running"
        for stream in streams:
            stream.close()

    asyncio.run(body())


# --- the client


@pytest.fixture(scope="module")
def service() -> Iterator[None]:
    client.setup()
    yield
    client.teardown()


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x02" + client._http(b'{"error":"x","code":[]}', b"400 Bad"),
        b"\x01\x02" + client._http(b"[" * 5000, b"500 Bad"),
        b"\x01\x05HTTP/1.1 206 Partial\r\nContent-Length: x\r\n\r\nabc",
        b"\x01\x0bHTTP/1.1 400 Bad\r\nContent-Length: x\r\n\r\n{}",
        b"\x01\x0bHTTP/1.1 400 Bad\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"\x01\x0bHTTP/1.1 " + b"4" * 5000 + b" Bad\r\n\r\n",
        b"\x01\x01" + client._http(b"\x03\0\0\0\xff\xff\xff\xff{}"),
        b"\x00\x0a" + client._framed(b'{"ok":true,"more":true,"result":{"stream":"stdout","offset":[]}}'),
        b"\x00\x0b" + client._framed(b'{"ok":true,"more":true,"result":{"attached":{"terminal":"x","offset":"y"}}}'),
        b"\x00\x04" + client._framed(b'{"ok":true,"result":{"size":0,"sha256":"","mode":"rwx"}}'),
    ],
    ids=["code", "deep", "part", "upgrade", "headers", "status", "size", "offset", "attached", "mode"],
)
def test_an_answer_that_makes_no_sense_is_one_of_the_eight_errors(service: None, data: bytes) -> None:
    client.check(data)


def test_a_mode_that_is_none_is_a_fault_of_the_service(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(Internal, match="mode"):
        local.take_mode(file.fileno(), "rwx")

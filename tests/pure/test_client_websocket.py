# SPDX-License-Identifier: MIT
"""The client's WebSocket: frames as RFC 6455 has them, in any pieces, and a terminal carried over one."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.client import viewing, websocket
from strata.client.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Decoder, Message
from strata.errors import Internal, PermissionDenied, Unavailable


def served(kind: int, data: bytes, final: bool = True) -> bytes:
    """A frame of a server, which is not masked."""
    size = len(data)
    long = struct.pack("!BH", 126, size) if size < 65_536 else struct.pack("!BQ", 127, size)
    return bytes([final << 7 | kind]) + (bytes([size]) if size < 126 else long) + data


def unmasked(frame: bytes) -> tuple[int, bytes]:
    """Kind and payload of one whole frame of a client."""
    assert frame[1] & 0x80, "a client masks what it sends (RFC 6455, 5.1)"
    form = {126: "!H", 127: "!Q"}.get(frame[1] & 0x7F)
    at = 2 + (struct.calcsize(form) if form else 0)
    mask, data = frame[at : at + 4], frame[at + 4 :]
    return frame[0] & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 100_001])
def test_what_a_client_sends_is_masked_and_arrives(size: int) -> None:
    """Each of the three forms of a length."""
    data = bytes(index * 7 % 256 for index in range(size))
    assert unmasked(websocket.encode(BINARY, data)) == (BINARY, data)


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING, PONG, CLOSE]), st.binary(max_size=300)), max_size=6),
    st.integers(1, 50),
)
def test_messages_arrive_however_they_were_cut(messages: list[tuple[int, bytes]], step: int) -> None:
    """In order and whole."""
    stream = b"".join(served(kind, data[:125] if kind >= CLOSE else data) for kind, data in messages)
    decoder = Decoder()
    found = [message for at in range(0, len(stream), step) for message in decoder.feed(stream[at : at + step])]
    assert found == [Message(kind, data[:125] if kind >= CLOSE else data) for kind, data in messages]


def test_a_message_may_come_in_parts_with_a_ping_between() -> None:
    """RFC 6455, 5.4."""
    stream = served(TEXT, b"a", final=False) + served(PING, b"p") + served(CONTINUATION, b"b") + served(BINARY, b"c")
    assert list(Decoder().feed(stream)) == [Message(PING, b"p"), Message(TEXT, b"ab"), Message(BINARY, b"c")]


@pytest.mark.parametrize("wrong", [b"\xc2\x00", b"\x82\x81abcdx", b"\x82\x7f" + b"\xff" * 8])
def test_what_no_server_may_send_is_refused(wrong: bytes) -> None:
    """Reserved bits, a mask, a length beyond all bounds."""
    with pytest.raises(Internal):
        list(Decoder().feed(wrong))


class Door:
    """The other end of a socket: answers the upgrade, then does what it was told."""

    def __init__(self, after: Callable[[socket.socket], None], status: str = "101 Switching Protocols") -> None:
        self.sock, self._theirs = socket.socketpair()
        self._after, self._status = after, status
        self.request = b""
        self._worker = threading.Thread(target=self._serve)
        self._worker.start()

    def _serve(self) -> None:
        with self._theirs:
            while b"\r\n\r\n" not in self.request:
                self.request += self._theirs.recv(4096)
            key = self.request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
            head = f"HTTP/1.1 {self._status}\r\nSec-WebSocket-Accept: {accept}\r\n"
            body = b"" if self._status.startswith("101") else b'{"error":"not yours","code":3,"name":"X"}'
            self._theirs.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            self._after(self._theirs)

    def line(self) -> viewing.Line:
        return viewing.line(self.sock, websocket.upgrade(self.sock, "here:1", "/x", {"Authorization": "Bearer T"}))

    def done(self) -> None:
        self._worker.join(10)
        assert not self._worker.is_alive()
        self.sock.close()


def test_a_terminal_looks_as_over_the_unix_socket() -> None:
    """What is shown and typed passes as raw bytes, what is told as events; pings are answered."""
    heard: list[tuple[int, bytes]] = []

    def show(sock: socket.socket) -> None:
        sock.sendall(served(TEXT, json.dumps({"attached": {"offset": 3}}).encode()) + served(BINARY, b"$ "))
        heard.append(unmasked(sock.recv(4096)))
        sock.sendall(served(PING, b"x"))
        heard.append(unmasked(sock.recv(4096)))
        sock.sendall(
            served(BINARY, "é".encode()) + served(TEXT, b'{"ended":"exit","exit_code":0}') + served(CLOSE, b"")
        )
        heard.append(unmasked(sock.recv(4096)))

    door = Door(show)
    line = door.line()
    with line.socket:
        assert line.first == {"attached": {"offset": 3}}
        assert line.socket.recv(100) == b"$ "
        line.socket.sendall(b"ls\n")
        assert line.socket.recv(100) == "é".encode()
        assert list(line.events) == [{"ended": "exit", "exit_code": 0}]
        assert line.socket.recv(100) == b""
    door.done()
    assert heard == [(BINARY, b"ls\n"), (PONG, b"x"), (CLOSE, b"")]
    assert b"\r\nAuthorization: Bearer T\r\n" in door.request


def test_who_looks_no_more_says_so() -> None:
    """A normal end, 1000 (RFC 6455, 7.4.1)."""
    heard: list[tuple[int, bytes]] = []

    def show(sock: socket.socket) -> None:
        sock.sendall(served(TEXT, b'{"attached":{}}'))
        heard.append(unmasked(sock.recv(4096)))

    door = Door(show)
    line = door.line()
    line.socket.close()
    door.done()
    assert list(line.events) == []
    assert heard == [(CLOSE, b"\x03\xe8")]


def test_a_door_that_hangs_up_is_no_end_of_the_terminal() -> None:
    """It is told as what one may come back from."""
    door = Door(lambda sock: sock.sendall(served(TEXT, b'{"attached":{}}')))
    line = door.line()
    with line.socket, pytest.raises(Unavailable, match="the door hung up"):
        list(line.events)
    door.done()


def test_a_refusal_is_the_doors_own_error() -> None:
    """The upgrade is answered with a status and a body as any call."""
    door = Door(lambda _sock: None, status="403 Forbidden")
    with pytest.raises(PermissionDenied, match="not yours"):
        door.line()
    door.done()

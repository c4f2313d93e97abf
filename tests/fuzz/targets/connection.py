# SPDX-License-Identifier: MIT
"""strata/sockets/{server,connection}.py: a peer's bytes get the same answers in the same order, however they are cut.

The server, its connection and its loop are the real ones; only the transport writes into a list.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from strata.errors import Conflict, InvalidArgument
from strata.sockets import frame
from strata.sockets.connection import Connection
from strata.sockets.descriptors import Passed
from strata.sockets.method import Call, Empty, Method
from strata.sockets.server import Server
from strata.types import Access

INSTRUMENT = ("strata.sockets",)


class Word(msgspec.Struct, frozen=True):
    """Parameters of the echoes."""

    word: Annotated[str, Meta(description="said again")] = ""


async def _later(_room: Any, _call: Call, params: Word) -> dict[str, str]:
    await asyncio.sleep(0)
    return {"word": params.word}


async def _many(_room: Any, _call: Call, params: Word) -> AsyncIterator[dict[str, str]]:
    for letter in params.word[:8]:
        yield {"letter": letter}
    if params.word.startswith("!"):
        raise Conflict(params.word)


def _fault(_room: Any, _call: Call, params: Word) -> dict[str, str]:
    raise ZeroDivisionError(params.word)


METHODS = (
    Method("now", Access.OPEN, Word, lambda room, call, params: {"word": params.word}, ""),
    Method("later", Access.OPEN, Word, _later, ""),
    Method("many", Access.OPEN, Word, _many, "", cancel=True),
    Method("fault", Access.OPEN, Empty, _fault, ""),
)


def _call(method: str, word: str = "w", v: int = 1) -> bytes:
    return frame.encode(json.dumps({"v": v, "req_id": "r", "method": method, "params": {"word": word}}).encode())


SEEDS = (
    b"\x00" + _call("now") + _call("later") + _call("now"),
    b"\x03" + _call("many", "abc") + _call("now") + _call("many", "!"),
    b"\x05" + _call("fault") + _call("now", v=2) + _call("none"),
    b"\x01" + _call("now") + frame.encode(b"nonsense") + _call("now"),
    b"\x02" + _call("later") + b"\0\0\0\0" + _call("now"),
    b"\x09" + _call("now")[:-3],
    b"\x06" + _call("now") * 40,
    b"\x36" + _call("now") * 3 + _call("later"),
    b"\xff" + _call("many", "abc") + _call("now") * 4,
)
DICTIONARY = (b"now", b"later", b"many", b"fault", b'"word":"', b'"params":', b"\0\0\0\0", b"\0\x10\0\1", b"null")

_loop = asyncio.new_event_loop()
_socket, _other = socket.socketpair()
_pipe = os.pipe()  # one that is passed is closed at once, and not by a thread
logging.getLogger("strata").setLevel(logging.CRITICAL + 1)  # `fault` is ours, and logged with its traceback


def teardown() -> None:
    _loop.close()
    _socket.close()
    _other.close()


class _Transport(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self) -> None:
        super().__init__({"socket": _socket})
        self.written = bytearray()
        self.closed = self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after the end"
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def check(data: bytes) -> None:
    """The first byte says how the rest is split."""
    step, stream = (data[0] % 16 + 1, data[1:]) if data else (1, b"")
    whole = _loop.run_until_complete(_served(stream, len(stream) or 1))
    split = _loop.run_until_complete(_served(stream, step))
    assert split == whole, (split, whole)
    _in_order(stream, whole)
    if data and data[0] & 0x10:
        before = len(os.listdir("/proc/self/fd"))
        _in_order(stream, _loop.run_until_complete(_served(stream, step, passing=data[0] >> 5)), all_of_it=False)
        assert len(os.listdir("/proc/self/fd")) == before, "a descriptor is left open"


async def _served(stream: bytes, step: int, passing: int = 0) -> bytes:
    """What is answered. `passing`: so many descriptors come with every other piece."""
    server = Server(METHODS, None, lambda access, call: None, lambda call, error: None, descriptors=bool(passing))
    connection, transport = Connection(server), _Transport()
    connection.connection_made(transport)
    for at in range(0, len(stream), step):
        piece = stream[at : at + step]
        if passing and at // step % 2 == 0:
            passed = tuple(os.dup(_pipe[0]) for _ in range(passing))
            connection.descriptors_received(piece, Passed(passed, cut=False))
        else:
            connection.data_received(piece)
    for turn in range(10_000):
        if not (connection.task or connection._turn):
            break
        assert turn < 9_999, "it never comes to rest"
        await asyncio.sleep(0)
    if not transport.closed:
        connection.eof_received()
        await asyncio.sleep(0)
    connection.connection_lost(None)
    assert not server.connections
    assert not server.tasks
    assert server.partial_bytes == server.unread_bytes == 0
    assert transport.closed or connection._ended
    return bytes(transport.written)


def _in_order(stream: bytes, answers: bytes, all_of_it: bool = True) -> None:
    """One reply for each request, in their order; `more` marks all but the last of each. With descriptors that are too
    many it may end before, with an error that answers none."""
    replies = [msgspec.json.decode(bytes(payload)) for payload in frame.Decoder().feed(answers)]
    last = [reply for reply in replies if not reply.get("more")]
    decoder, expected = frame.Decoder(), []
    decoder.push(stream)
    try:
        while (payload := decoder.next()) is not None:
            expected.append(_req_id(bytes(payload)))
            if expected[-1] is None:
                break
    except frame.FrameError:
        pass
    told, asked = [reply["req_id"] for reply in last], [req_id or "" for req_id in expected]
    if not all_of_it and told != asked:
        assert not last.pop()["ok"]
        told.pop()
        del asked[len(told) :]
    assert told == asked, (told, asked)


def _req_id(payload: bytes) -> str | None:
    from strata.sockets import message

    try:
        return message.decode_request(payload).req_id
    except InvalidArgument:
        return None

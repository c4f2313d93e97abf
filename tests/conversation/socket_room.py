# SPDX-License-Identifier: MIT
"""A room made for talking to: one method for each way that a method can behave, behind the real server and loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from strata.errors import NotFound, StrataError, Unauthenticated
from strata.sockets import frame, listen
from strata.sockets.limits import LIMITS, Limits
from strata.sockets.method import Call, Empty, Method
from strata.sockets.server import Server
from strata.types import Access

takes_descriptors = False
"""Whether the servers of the tests take descriptors: a module that says True tries another transport."""

DEADLINE = 20.0
"""Seconds after which a conversation that should have ended is called hung."""


class Text(msgspec.Struct, frozen=True):
    text: str


class Size(msgspec.Struct, frozen=True):
    size: int = 1


class Room:
    """What the methods did, for the tests to look at."""

    def __init__(self) -> None:
        self.open_door = asyncio.Event()
        self.entered = 0
        self.ended: list[str] = []
        self.kept: list[int] = []
        self.denied: list[tuple[str, int]] = []


async def later(room: Room, call: Call, params: Text) -> Any:
    for _ in range(3):
        await asyncio.sleep(0)
    return {"text": params.text}


async def wait(room: Room, call: Call, params: Any) -> Any:
    room.entered += 1
    try:
        await room.open_door.wait()
    except asyncio.CancelledError:
        room.ended.append("cancelled")
        raise
    room.ended.append("done")
    return {"text": "open"}


async def count(room: Room, call: Call, params: Size) -> AsyncIterator[Any]:
    try:
        for number in range(params.size):
            yield {"number": number}
    finally:
        room.ended.append("closed")


async def endless(room: Room, call: Call, params: Size) -> AsyncIterator[Any]:
    try:
        while True:
            room.entered += 1
            yield {"blob": "x" * params.size}
    finally:
        room.ended.append("closed")


async def broken_stream(room: Room, call: Call, params: Any) -> AsyncIterator[Any]:
    yield {"number": 0}
    raise NotFound("cannot go on: the rest is missing")


async def cancels_itself(room: Room, call: Call, params: Any) -> Any:
    raise asyncio.CancelledError


def passed(call: Call) -> Any:
    """What each descriptor is, and whether a child would get it."""
    return [{"inode": os.fstat(fd).st_ino, "inherited": os.get_inheritable(fd)} for fd in call.descriptors]


async def passed_later(room: Room, call: Call, params: Any) -> Any:
    await wait(room, call, params)
    return passed(call)


async def write(room: Room, call: Call, params: Text) -> AsyncIterator[Any]:
    try:
        while True:
            yield {"written": os.write(call.descriptors[0], params.text.encode())}
            await room.open_door.wait()
            room.open_door.clear()
    finally:
        room.ended.append("closed")


def keep(room: Room, call: Call, params: Any) -> Any:
    room.kept.extend(os.dup(fd) for fd in call.descriptors)


def fail(room: Room, call: Call, params: Any) -> Any:
    raise RuntimeError("secret detail")


async def fail_later(room: Room, call: Call, params: Any) -> Any:
    await asyncio.sleep(0)
    raise RuntimeError("secret detail")


def refuse(room: Room, call: Call, params: Any) -> Any:
    raise NotFound("no such thing", thing="x")


def unspeakable(room: Room, call: Call, params: Any) -> Any:
    raise NotFound("cannot find \udcff", thing=object())


METHODS = (
    Method("t.echo", Access.OPEN, Text, lambda room, call, params: {"text": params.text}, "says it back"),
    Method("t.blob", Access.OPEN, Size, lambda room, call, params: {"blob": "x" * params.size}, "is long"),
    Method("t.surrogate", Access.OPEN, Empty, lambda room, call, params: {"name": "\udcff"}, "answers no Unicode"),
    Method("t.who", Access.OPEN, Empty, lambda room, call, params: call.peer._asdict(), "tells the peer"),
    Method("t.secret", Access.TOKEN, Empty, lambda room, call, params: {"claims": call.claims}, "needs a token"),
    Method("t.later", Access.OPEN, Text, later, "says it back after a while"),
    Method("t.wait", Access.OPEN, Empty, wait, "changes something: goes on when its caller hangs up"),
    Method("t.poll", Access.OPEN, Empty, wait, "a long poll: ends when its caller hangs up", cancel=True),
    Method("t.count", Access.OPEN, Size, count, "a stream", cancel=True),
    Method("t.endless", Access.OPEN, Size, endless, "a stream without an end", cancel=True),
    Method("t.stubborn", Access.OPEN, Size, endless, "the same, of an author who forgot `cancel`"),
    Method("t.broken_stream", Access.OPEN, Empty, broken_stream, "fails in the middle"),
    Method("t.cancels_itself", Access.OPEN, Empty, cancels_itself, "something inside it was cancelled"),
    Method("t.passed", Access.OPEN, Empty, lambda room, call, params: passed(call), "tells what came with it"),
    Method("t.passed_later", Access.OPEN, Empty, passed_later, "the same, when the door opens"),
    Method("t.write", Access.OPEN, Text, write, "a stream into the descriptor that came with it", cancel=True),
    Method("t.keep", Access.OPEN, Empty, keep, "keeps a dup of what came with it"),
    Method("t.fail", Access.OPEN, Empty, fail, "has a bug"),
    Method("t.fail_later", Access.OPEN, Empty, fail_later, "has a bug, later"),
    Method("t.refuse", Access.OPEN, Empty, refuse, "says no"),
    Method("t.unspeakable", Access.OPEN, Empty, unspeakable, "says no in words that no frame can carry"),
)


def gate(access: Access, call: Call) -> Any:
    if access is Access.TOKEN and call.token != "good":
        raise Unauthenticated("invalid token")
    return {"sub": "me"} if call.token else None


class Talk:
    """One raw connection of a test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def write(self, data: bytes) -> None:
        """Send, as far as the server still listens; whether it should is for the test to see in the replies."""
        if not self.writer.transport.is_closing():
            self.writer.write(data)

    def ask(self, method: str, req_id: str = "r", token: str = "", **params: Any) -> None:
        self.write(request(method, req_id, token, **params))

    async def reply(self) -> Any:
        size = frame.payload_size(await self.reader.readexactly(4))
        return json.loads(await self.reader.readexactly(size))

    async def call(self, method: str, req_id: str = "r", token: str = "", **params: Any) -> Any:
        self.ask(method, req_id, token, **params)
        return await self.reply()

    async def rest(self) -> bytes:
        """All that comes until the server hangs up; a reset counts as one."""
        got = bytearray()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while part := await self.reader.read(65_536):
                got += part
        return bytes(got)

    async def hung_up(self) -> list[Any]:
        """The replies that still come before the server hangs up."""
        return [json.loads(payload) for payload in frame.Decoder().feed(await self.rest())]

    def half_close(self) -> None:
        """Say that nothing more will be sent, and stay to read."""
        if not self.writer.transport.is_closing():
            self.writer.write_eof()

    def close(self) -> None:
        self.writer.close()


class Ring:
    """A server with its room, listening."""

    def __init__(self, server: Server, room: Room, path: Path) -> None:
        self.server, self.room, self.path = server, room, path
        self._talks: list[Talk] = []

    async def talk(self) -> Talk:
        talk = Talk(*await asyncio.open_unix_connection(self.path, limit=2 * frame.MAX_PAYLOAD))
        self._talks.append(talk)
        return talk

    async def works(self) -> None:
        """A newcomer is served."""
        talk = await self.talk()
        assert (await talk.call("t.echo", text="still here"))["result"] == {"text": "still here"}
        talk.close()

    async def end(self) -> None:
        for talk in self._talks:
            talk.writer.transport.abort()
        await self.server.close()


def request(method: str, req_id: str = "r", token: str = "", **params: Any) -> bytes:
    """A framed request."""
    envelope: dict[str, Any] = {"v": 1, "req_id": req_id, "method": method, "params": params}
    if token:
        envelope["auth"] = {"token": token}
    return frame.encode(json.dumps(envelope).encode())


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for `condition`, at most DEADLINE seconds."""
    end = asyncio.get_running_loop().time() + DEADLINE
    while not condition():
        assert asyncio.get_running_loop().time() < end, f"it never came true: {what}"
        await asyncio.sleep(0.005)


@contextlib.contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that peers of any uid can enter (pytest's tmp_path they cannot), and short enough for a socket."""
    directory = Path(tempfile.mkdtemp(prefix="strata-ring-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextlib.asynccontextmanager
async def serving(limits: Limits = LIMITS) -> AsyncIterator[Ring]:
    """The room behind the real server; at the end no task, descriptor, connection or byte may be left."""
    room = Room()

    def denied(call: Call, error: StrataError) -> None:
        room.denied.append((call.method, error.code))

    with open_directory() as directory:
        before, tasks = sockets(), asyncio.all_tasks()
        server = Server(METHODS, room, gate, denied, limits, descriptors=takes_descriptors)
        ring = Ring(server, room, directory / "t.sock")
        await server.listen(listen.bound(ring.path))
        try:
            yield ring
        finally:
            await ring.end()
        await until(lambda: sockets() <= before, "every socket is closed")
        assert asyncio.all_tasks() == tasks
    assert (server.connections, server.tasks, dict(server.per_uid), server.partial_bytes) == (set(), set(), {}, 0)
    assert not server.descriptors


def sockets() -> set[str]:
    """The sockets this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return {target for target in found if target.startswith("socket:")}


def run(awaitable: Awaitable[Any], seconds: float = DEADLINE) -> Any:
    """Run on the production loop; hanging is failing."""

    async def bounded() -> Any:
        return await asyncio.wait_for(awaitable, seconds)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(bounded())


def conversation(
    seconds: float = DEADLINE, **limits: float
) -> Callable[[Callable[[Ring], Awaitable[None]]], Callable[[], None]]:
    """A test that gets a Ring with these limits."""

    def wrap(test: Callable[[Ring], Awaitable[None]]) -> Callable[[], None]:
        async def whole() -> None:
            async with serving(LIMITS._replace(**limits)) as ring:
                await test(ring)

        def run_test() -> None:
            run(whole(), seconds)

        run_test.__name__, run_test.__doc__, run_test.__module__ = test.__name__, test.__doc__, test.__module__
        return run_test

    return wrap


run(asyncio.sleep(0))  # libuv opens a pipe of its own at its first loop and keeps it: not a leak of the first test

# SPDX-License-Identifier: MIT
"""The whole door on a real port, before a room of scripted methods behind the real server, on a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rooms import DEADLINE, directory, on_a_loop

from strata.api import mcp_app, table, tls
from strata.api.app import App
from strata.api.door import Door
from strata.api.grpc_server import Grpc
from strata.api.http1 import Http1
from strata.api.limits import LIMITS, DoorLimits
from strata.api.pool import RoomPool
from strata.api.routing import Router
from strata.api.serving import Server as DoorServer
from strata.config import ApiSettings
from strata.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    StrataError,
    Unauthenticated,
    Unavailable,
)
from strata.sockets import listen
from strata.sockets.method import Call, Method
from strata.sockets.server import Server
from strata.types import Access


class Given(msgspec.Struct, frozen=True):
    """Whatever the door passes on."""

    owner: Any = None
    session: Any = None
    command: Any = None
    timeout_ms: Any = None
    stdin: Any = None
    stdin_b64: Any = None
    argv: Any = None
    env: Any = None
    cwd: Any = None
    background: Any = None
    descriptors: Any = None
    path: Any = None
    size: Any = None
    mode: Any = None
    sha256: Any = None
    offset: Any = None
    id: Any = None
    signal: Any = None
    terminal: Any = None
    rows: Any = None
    cols: Any = None
    viewer: Any = None
    labels: Any = None
    limits: Any = None
    ttl: Any = None
    follow: Any = None

    @property
    def set(self) -> dict[str, Any]:
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}


class Signalled(Given, frozen=True, kw_only=True):
    """Of sandbox.signal, whose parameters are required, as those of the real one are."""

    id: str
    signal: str


class Room:
    """What was asked, and what the scripted sessions hold. `blocking` is set while something blocks."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.sessions: set[tuple[Any, Any]] = set()
        self.files: dict[str, bytes] = {}
        self.blocking = threading.Event()
        self.cancelled = threading.Event()
        self.release = asyncio.Event()
        self.denied: list[tuple[str, str]] = []
        self.poured = 0
        self.slowly = False

    def last(self, method: str) -> dict[str, Any]:
        """The parameters of the last call of a method."""
        return next(params for name, params, _ in reversed(self.asked) if name == method)


async def block(room: Room) -> None:
    """Until it is released, or its caller hangs up."""
    room.blocking.set()
    try:
        await room.release.wait()
    except asyncio.CancelledError:
        room.cancelled.set()
        raise


def create(room: Room, call: Call, given: Given) -> Any:
    if not given.owner or not given.session:
        raise InvalidArgument("owner_id and session_id are required")
    if given.owner == "full":
        raise ResourceExhausted("max sessions (3) reached", limit=3)
    new = (given.owner, given.session) not in room.sessions
    room.sessions.add((given.owner, given.session))
    return {
        "owner": given.owner, "session": given.session, "created": new, "created_at": "2026-11-22T03:11:00Z",
        "unit": "strata-sandbox-a-b.scope", "state": "open", "labels": given.labels or {}, "ttl_seconds": 1800.0,
        "limits": {"memory_max": "1G", "tasks_max": 256}, "warnings": ["slow disk"], "pid": 7,
    }  # fmt: skip


def close(room: Room, call: Call, given: Given) -> Any:
    if (given.owner, given.session) not in room.sessions:
        raise NotFound("session not found")
    room.sessions.remove((given.owner, given.session))
    return {"status": "closed"}


def result(output: str = "", **more: Any) -> dict[str, Any]:
    told = {"output": output, "stdout": output, "stderr": "", "exit_code": 0, "ended": "exit", "elapsed": "12ms",
            "elapsed_ms": 12.3, "truncated": False, "cpu_ms": 1.5, "memory_peak": 4096, "cwd": "/root"}  # fmt: skip
    return told | more


EXEC: dict[str, dict[str, Any]] = {
    "pwd": result("/root"),
    "true": result(),
    "block": result("released"),
    "exit 3": result(exit_code=3),
    "long": result("x" * 1000, truncated=True),
    "sleep 10": result("part", exit_code=None, ended="timeout", error="command timeout", elapsed="1.001s"),
    "kill -9 $$": result(exit_code=None, ended="signal", signal="KILL"),
    "binary": result("\ufffd\ufffd", output_b64="//4="),
}


async def execute(room: Room, call: Call, given: Given) -> Any:
    if not given.owner or not given.session:
        raise InvalidArgument("owner_id and session_id are required")
    if given.command == "block":
        await block(room)
    if given.command == "conflict":
        raise Conflict("cannot run: the session is frozen; thaw it")
    return EXEC[given.command]


async def run(room: Room, call: Call, given: Given) -> Any:
    """`cat` copies its input; `block` waits; anything else writes its arguments, the last to stderr."""
    if given.background:
        return {"id": "r1", "state": "running"}
    if not call.descriptors:
        return result("out", stderr="err")
    passed = dict(zip(given.descriptors, call.descriptors, strict=True))
    stdin, stdout, stderr = (
        os.dup(passed[name]) if name in passed else os.open(os.devnull, os.O_RDWR)
        for name in ("stdin", "stdout", "stderr")
    )
    try:
        if given.argv == ["block"]:
            os.write(stdout, b"first words")
            await block(room)
        elif given.argv == ["cat"]:
            await asyncio.to_thread(copy, stdin, stdout)
        else:
            os.write(stdout, " ".join(given.argv[:-1]).encode())
            os.write(stderr, given.argv[-1].encode())
    finally:
        for fd in (stdin, stdout, stderr):
            os.close(fd)
    return result(id="r2")


def interrupt(room: Room, call: Call, given: Given) -> Any:
    room.release.set()
    return {"id": given.id, "signal": given.signal, "processes": 1}


def copy(source: int, target: int) -> None:
    while data := os.read(source, 65_536):
        while data:
            data = data[os.write(target, data) :]


async def output(room: Room, call: Call, given: Given) -> AsyncIterator[Any]:
    yield {"stream": "stdout", "offset": given.offset["stdout"], "data": "text"}
    yield {"stream": "stderr", "offset": 0, "data_b64": "//4="}
    if given.follow:
        await block(room)
    yield result(id=given.id)


async def put(room: Room, call: Call, given: Given) -> Any:
    if given.path == "/etc/shadow":
        raise PermissionDenied("cannot put /etc/shadow: it is not yours")
    content = await asyncio.to_thread(slurp, call.descriptors[0], room)
    if given.sha256 and given.sha256 != hashlib.sha256(content).hexdigest():
        raise InvalidArgument("cannot put: another sha256 came")
    room.files[given.path] = content
    return {
        "path": given.path,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": given.mode or "0644",
    }


def slurp(source: int, room: Room) -> bytes:
    """As the worker does, until the end, or until the caller hangs up and the worker is killed."""
    source, parts = os.dup(source), bytearray()
    os.set_blocking(source, True)
    try:
        while data := os.read(source, 1 << 20):
            room.blocking.set()
            parts += data
            if parts.endswith(b"PAUSE") and room.cancelled.wait(DEADLINE):
                raise Unavailable("cannot put: the worker was killed")
    finally:
        os.close(source)
    return bytes(parts)


async def get(room: Room, call: Call, given: Given) -> Any:
    if given.path not in room.files:
        raise NotFound(f"cannot get {given.path}: there is no such file")
    content = room.files[given.path][(given.offset or 0) :][: given.size]
    if call.descriptors:
        await asyncio.to_thread(pour, os.dup(call.descriptors[0]), content, room)
    said = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "mode": "0640", "mtime": 1.5}
    if not call.descriptors:
        said |= {"data": content.decode()}
    total = len(room.files[given.path])
    return said | {"total": total, "eof": (given.offset or 0) + len(content) >= total}


def pour(target: int, content: bytes, room: Room) -> None:
    os.set_blocking(target, True)
    rest = memoryview(content)
    with contextlib.suppress(BrokenPipeError):
        while rest:
            written = os.write(target, rest[:65_536])
            rest = rest[written:]
            room.poured += written
    os.close(target)


async def attach(room: Room, call: Call, given: Given) -> AsyncIterator[Any]:
    """A terminal that says back what is typed; `exit` ends it, `size` tells the last size."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(call.descriptors[0])) as sock:
        sock.setblocking(False)
        begin = 40 if given.offset is None else given.offset
        yield {
            "attached": {"terminal": given.terminal or "main", "offset": begin, "rows": 24, "cols": 80, "viewers": 1}
        }
        if given.offset is None:
            await loop.sock_sendall(sock, b"$ ")
        while typed := await loop.sock_recv(sock, 65_536):
            if typed == b"exit\n":
                await loop.sock_sendall(sock, b"bye\r\n")
                yield {"ended": "exit", "exit_code": 0}
                return
            reply = b"you typed " + typed
            for at in range(0, len(reply), 1 if room.slowly else len(reply)):
                await loop.sock_sendall(sock, reply[at : at + (1 if room.slowly else len(reply))])
                await asyncio.sleep(0.005 if room.slowly else 0)
        room.cancelled.set()


def stat(room: Room, call: Call, given: Given) -> Any:
    if given.path == "/root":
        return {"path": given.path, "kind": "directory", "size": 4096, "mode": "0700", "mtime": 1.5}
    if given.path not in room.files:
        raise NotFound(f"cannot stat {given.path}: there is no such file")
    return {"path": given.path, "kind": "file", "size": len(room.files[given.path]), "mode": "0640", "mtime": 1.5}


async def export(room: Room, call: Call, given: Given) -> Any:
    """A million bytes; of `/gone` only half of them, then an error."""
    content = b"tar!" * 250_000
    whole = given.path != "/gone"
    await asyncio.to_thread(pour, os.dup(call.descriptors[0]), content if whole else content[:500_000], room)
    if not whole:
        raise Conflict("cannot export /gone: it went away")
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def listed(room: Room, call: Call, given: Given) -> Any:
    entry = {"name": "a.txt", "kind": "file", "size": 5, "mode": "0644", "mtime": 12.5}
    return {"path": given.path, "entries": [entry, {"name": "sub", "kind": "directory", "size": 0, "mode": "0755"}]}


async def watch(room: Room, call: Call, given: Given) -> AsyncIterator[Any]:
    yield {"event": "watching", "path": given.path}
    yield {"event": "moved", "path": "/root/b", "from": "/root/a"}
    await block(room)


def said(value: Any) -> Callable[[Room, Call, Given], Any]:
    return lambda room, call, given: value


SCRIPT: dict[str, Callable[..., Any]] = {
    "create": create,
    "close": close,
    "exec": execute,
    "run": run,
    "output": output,
    "put": put,
    "get": get,
    "attach": attach,
    "watch": watch,
    "files": listed,
    "stat": stat,
    "export": export,
    "extend": said({"ttl_seconds": 60}),
    "describe": said({"owner": "a", "session": "b"}),
    "remove": said({}),
    "kill": said({"status": "killed"}),
    "terminals": said({"terminals": []}),
    "resize": said({}),
    "signal": interrupt,
    "move": said({}),
    "list": said({"sessions": [{"owner": "a", "session": "b", "created_at": "2026-11-22T03:11:00Z"}]}),
    "usage": said({"cpu_ms": 1, "memory": 2**40, "tasks": 3, "disk": {"used": 5}}),
    "stats": said({"active_sessions": 2, "max_sessions": 7}),
    "templates": said({"templates": [{"name": "py"}]}),
    "freeze": said({"labels": 5}),  # nothing that the message could hold
}


PARAMS: dict[str, type[Given]] = {"signal": Signalled}


def methods() -> tuple[Method, ...]:
    return tuple(
        Method(f"sandbox.{name}", Access.TOKEN, PARAMS.get(name, Given), recorded(function), name, cancel=True)
        for name, function in SCRIPT.items()
    )


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(room: Room, call: Call, given: Given) -> Any:
        room.asked.append((call.method, given.set, call.token))
        return function(room, call, given)

    return called


def gate(access: Access, call: Call) -> Any:
    if not call.token.startswith("good"):
        raise Unauthenticated("token required" if not call.token else "invalid token")
    return {"sub": "me"}


class Opened:
    """The door: `port` is where it listens, `room` the scripted room, `address` what a gRPC client takes."""

    def __init__(
        self, room: Room, server: Server, path: Path, port: int, grpc: Grpc, mcp: Any, secure: bool = False
    ) -> None:
        self.room, self.path, self.port, self.grpc, self.mcp = room, path, port, grpc, mcp
        self.loop, self._server = asyncio.get_running_loop(), server
        self.address = f"127.0.0.1:{port}"
        self.url = f"{'https' if secure else 'http'}://127.0.0.1:{port}"

    def release(self) -> None:
        """Let what blocks go on."""
        self.loop.call_soon_threadsafe(self.room.release.set)

    def pending(self) -> bool:
        """Whether the room is at work."""
        return bool(self._server.tasks)

    def cut_off(self) -> None:
        """The room goes away."""
        asyncio.run_coroutine_threadsafe(self._server.close(0), self.loop).result(DEADLINE)

    def restart(self) -> None:
        """The room goes away and comes back, with all that it knew."""
        self.cut_off()
        self.path.unlink()
        self._server = asyncio.run_coroutine_threadsafe(served(self.room, self.path), self.loop).result(DEADLINE)

    async def close(self) -> None:
        """The room goes away for good."""
        await self._server.close(0.1)


Settings = ApiSettings


async def served(room: Room, path: Path) -> Server:
    """The room, listening."""

    def denied(call: Call, error: StrataError) -> None:
        room.denied.append((call.method, call.token))

    server = Server(methods(), room, gate, denied, descriptors=True)
    await server.listen(listen.bound(path))
    return server


@contextlib.asynccontextmanager
async def composed(
    path: Path, settings: ApiSettings, limits: DoorLimits, credentials: Path | str
) -> AsyncIterator[Opened]:
    """Room and door, listening."""
    room = Room()
    server = await served(room, path)
    pool = RoomPool(path, limits, settings.insecure_no_auth)
    door = Door(pool, settings, limits)
    async with mcp_app.mounted(door) as mcp:
        grpc = Grpc(door)
        made = tls.context(settings, str(credentials))
        doors = DoorServer(Http1(App(door, Router(table.ROUTES), mcp), limits), grpc, limits, made)
        sock = socket.create_server(("127.0.0.1", 0))
        await doors.listen(sock)
        try:
            found = Opened(room, server, path, sock.getsockname()[1], grpc, mcp, secure=made is not None)
            yield found
        finally:
            await doors.close()
            pool.close()
            await found.close()


@contextlib.contextmanager
def opened(
    settings: ApiSettings = ApiSettings(),  # noqa: B008
    limits: DoorLimits = LIMITS,
    credentials: Path | str = "",
) -> Iterator[Opened]:
    """The door, until the end of the block; `credentials` is the directory of certificate and key."""
    with (
        directory() as where,
        on_a_loop(lambda: composed(where / "sandbox.sock", settings, limits, credentials)) as door,
    ):
        yield door


def later(awaitable: Awaitable[Any], seconds: float = DEADLINE) -> Any:
    """Run on a loop of the test's own; hanging is failing."""

    async def bounded() -> Any:
        return await asyncio.wait_for(awaitable, seconds)

    return asyncio.run(bounded())

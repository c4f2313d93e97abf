# SPDX-License-Identifier: MIT
"""A sandbox room of scripted methods behind the real server, and the real door before it, for clients to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from authority import Authority
from rooms import DEADLINE, directory, on_a_loop

from strata.api import table, tls
from strata.api.app import App
from strata.api.door import Door
from strata.api.encrypted import Encrypted
from strata.api.http1 import Http1
from strata.api.limits import LIMITS
from strata.api.pool import RoomPool
from strata.api.routing import Router
from strata.api.sniffing import Silent
from strata.config import ApiSettings
from strata.errors import Conflict, NotFound, Unauthenticated
from strata.sockets import listen
from strata.sockets.method import Call, Method
from strata.sockets.server import Server
from strata.types import Access

TOKEN = "good.token"
NAMES = (
    "owner", "session", "template", "base", "network", "driver", "env", "labels", "limits", "ttl", "lifetime",
    "from_snapshot", "state", "to_session", "snapshot", "name", "command", "timeout_ms", "stdin", "stdin_b64", "argv",
    "cwd", "background", "descriptors", "id", "offset", "follow", "wait_ms", "signal", "group", "terminal", "rows",
    "cols", "viewer", "path", "mode", "size", "sha256", "cursor", "after", "parents", "recursive", "to", "from",
)  # fmt: skip
_FIELDS: list[Any] = [("from_" if name == "from" else name, Any, None) for name in NAMES]
Given = msgspec.defstruct("Given", _FIELDS, frozen=True, rename={"from_": "from"})
RESULT = {"id": "r1", "ended": "exit", "exit_code": 0, "elapsed": "2ms", "elapsed_ms": 2, "cpu_ms": 1.5}
RUN = {"id": "r1", "state": "running", "argv": ["sleep", "9"], "ended": None, "exit_code": None, "later": "field"}
SESSION = {"created_at": "2026-11-22T03:11:00Z", "state": "open", "labels": {"a": "b"}, "warnings": ["slow disk"]}


class Room:
    """What was asked, and what the scripted session holds."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}
        self.lies: dict[str, Any] = {}  # told of a file instead of the truth
        self.blocking, self.cancelled = threading.Event(), threading.Event()

    def last(self) -> tuple[str, dict[str, Any]]:
        """Method and parameters of the last call."""
        return self.asked[-1]


async def block(room: Room) -> None:
    """Until the caller hangs up."""
    room.blocking.set()
    try:
        await asyncio.Event().wait()
    finally:
        room.cancelled.set()


def described(room: Room, call: Call, given: Any) -> Any:
    if given.session == "nope":
        raise NotFound("session not found", session="nope")
    return {"owner": given.owner, "session": given.session, **SESSION, "usage": {"cpu_ms": 1.5, "tasks": 3}}


async def execute(room: Room, call: Call, given: Any) -> Any:
    if given.command == "block":
        await block(room)
    binary = {"stderr": "\ufffd", "stderr_b64": "/w=="}
    return {**RESULT, "output": given.command, "stdout": given.command, **binary, "truncated": False, "cwd": "/root"}


async def run(room: Room, call: Call, given: Any) -> Any:
    """`cat` copies its input; anything else writes its arguments, the last to stderr, and reads nothing."""
    if given.background:
        return {"id": "r1", "state": "running"}
    passed = dict(zip(given.descriptors or (), call.descriptors, strict=True))
    ends = {name: os.dup(fd) for name, fd in passed.items()}
    for fd in ends.values():
        os.set_blocking(fd, True)
    try:
        if given.argv == ["cat"]:
            await asyncio.to_thread(copy, ends["stdin"], ends["stdout"])
        else:
            for name, text in (("stdout", " ".join(given.argv[:-1])), ("stderr", given.argv[-1])):
                if name in ends:
                    os.write(ends[name], text.encode())
    finally:
        for fd in ends.values():
            os.close(fd)
    inline = {} if ends else {"stdout": "out", "stderr": "err", "output": "outerr"}
    return {**RESULT, **inline}


def copy(source: int, target: int) -> None:
    while data := os.read(source, 65_536):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(target, rest) :]


async def output(room: Room, call: Call, given: Any) -> AsyncIterator[Any]:
    try:
        yield {"stream": "stdout", "offset": given.offset["stdout"], "size": 4, "data": "text"}
        yield {"stream": "stderr", "offset": 7, "size": 2, "data": "\ufffd", "data_b64": "//4=", "lost": 7}
        if given.follow:
            await block(room)
        yield {**RUN, **RESULT, "state": "ended"}
    finally:
        room.cancelled.set()


async def put(room: Room, call: Call, given: Any) -> Any:
    content = await asyncio.to_thread(slurp, os.dup(call.descriptors[0]))
    digest = hashlib.sha256(content).hexdigest()
    if (given.size, given.sha256) not in ((None, None), (None, digest), (len(content), digest)):
        raise Conflict("cannot put: something else came")
    room.files[given.path] = content
    return {"path": given.path, "size": len(content), "sha256": digest, "mode": given.mode or "0644", "created": True}


def slurp(source: int) -> bytes:
    os.set_blocking(source, True)
    with open(source, "rb") as file:
        return file.read()


async def get(room: Room, call: Call, given: Any) -> Any:
    if given.path not in room.files:
        raise NotFound(f"cannot get {given.path}: there is no such file")
    whole = room.files[given.path]
    content = whole[given.offset or 0 :][: given.size or None]
    await asyncio.to_thread(pour, os.dup(call.descriptors[0]), content)
    digest = hashlib.sha256(content).hexdigest()
    told = {"path": given.path, "size": len(content), "sha256": digest, "mode": "0755", "total": len(whole)}
    return told | {"eof": True, "changed": False, "complete": True} | room.lies


def pour(target: int, content: bytes) -> None:
    os.set_blocking(target, True)
    with contextlib.suppress(BrokenPipeError), open(target, "wb") as file:
        file.write(content)


def listed(room: Room, call: Call, given: Any) -> Any:
    kept = sorted(room.files)
    begin = int(given.cursor or given.after or 0)
    entries = [{"name": name, "kind": "file", "size": len(room.files[name])} for name in kept[begin : begin + 2]]
    return {"path": given.path, "entries": entries} | ({"next": str(begin + 2)} if begin + 2 < len(kept) else {})


def stat(room: Room, call: Call, given: Any) -> Any:
    if given.path not in room.files:
        raise NotFound(f"cannot stat {given.path}: there is no such file")
    return {"path": given.path, "kind": "file", "size": len(room.files[given.path]), "mode": "0755", "mtime": 1.5}


async def watch(room: Room, call: Call, given: Any) -> AsyncIterator[Any]:
    try:
        yield {"event": "watching", "path": given.path}
        yield {"event": "moved", "path": "/root/b", "from": "/root/a"}
        await block(room)
    finally:
        room.cancelled.set()


async def attach(room: Room, call: Call, given: Any) -> AsyncIterator[Any]:
    """A terminal that says back what is typed; `exit` ends it."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(call.descriptors[0])) as sock:
        sock.setblocking(False)
        told = {"terminal": given.terminal, "offset": 40, "lost": 2, "viewer": 5, "rows": 24, "cols": 80, "viewers": 1}
        yield {"attached": told}
        try:
            await loop.sock_sendall(sock, b"$ ")
            while (typed := await loop.sock_recv(sock, 65_536)) != b"exit\n":
                if not typed:
                    return
                await loop.sock_sendall(sock, b"typed " + typed)
        except ConnectionResetError:  # he left with something unread
            return
        finally:
            room.cancelled.set()
        await loop.sock_sendall(sock, b"bye")
    yield {"ended": "exit", "exit_code": 3}


def said(value: Any) -> Callable[..., Any]:
    return lambda room, call, given: value


SCRIPT: dict[str, Callable[..., Any]] = {
    "create": lambda room, call, given: described(room, call, given) | {"created": True},
    "describe": described,
    "extend": described,
    "freeze": described,
    "thaw": described,
    "fork": described,
    "list": lambda room, call, given: {"sessions": [{"owner": given.owner, "session": "one", **SESSION}]},
    "close": said({"status": "closed"}),
    "stats": said({"active_sessions": 2, "max_sessions": 7}),
    "usage": said({"cpu_ms": 1.5, "memory": None, "tasks": 3}),
    "templates": said({"templates": [{"name": "py", "limits": {"tasks_max": 9}}]}),
    "snapshot": said({"name": "s1", "size": 5}),
    "snapshots": said({"snapshots": [{"name": "s1"}]}),
    "remove_snapshot": said({}),
    "exec": execute,
    "run": run,
    "runs": said({"runs": [RUN]}),
    "output": output,
    "wait": said({**RUN, **RESULT, "state": "ended"}),
    "signal": said({"id": "r1"}),
    "kill": said({**RUN, "ended": "signal", "signal": "KILL", "state": "ended"}),
    "terminals": said({"terminals": [{"terminal": "main", "rows": 24, "cols": 80, "viewers": 1}]}),
    "resize": said({}),
    "hangup": said({}),
    "attach": attach,
    "put": put,
    "get": get,
    "export": get,
    "files": listed,
    "stat": stat,
    "mkdir": said({}),
    "move": said({}),
    "remove": said({}),
    "watch": watch,
    "diff": said({"changes": [{"path": "/root/a", "kind": "added", "type": "file", "size": 1}]}),
}


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(room: Room, call: Call, given: Any) -> Any:
        told = {name.rstrip("_"): value for name, value in msgspec.structs.asdict(given).items() if value is not None}
        room.asked.append((call.method, told))
        return function(room, call, given)

    return called


METHODS = tuple(
    Method(f"sandbox.{name}", Access.TOKEN, Given, recorded(function), name, cancel=True)
    for name, function in SCRIPT.items()
)


def gate(access: Access, call: Call) -> Any:
    if call.token != TOKEN:
        raise Unauthenticated("token required" if not call.token else "invalid token")


class Served:
    """`path` is the room's socket, `url` the door's, `secure_url` with TLS, by a certificate of the authority `ca`."""

    def __init__(self, room: Room, path: Path, server: Server) -> None:
        self.room, self.path, self.url, self.secure_url = room, path, "", ""
        self.ca = Path()
        self._server, self._loop = server, asyncio.get_running_loop()

    def hang_up(self) -> None:
        """Drop every connection of the room, as its restart does."""

        async def drop() -> None:
            for connection in tuple(self._server.connections):
                connection.drop()
            while self._server.connections:
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(drop(), self._loop).result(DEADLINE)


@contextlib.asynccontextmanager
async def _serving(path: Path) -> AsyncIterator[Served]:
    room = Room()
    server = Server(METHODS, room, gate, lambda call, error: None, descriptors=True)
    await server.listen(listen.bound(path))
    served, pool = Served(room, path, server), RoomPool(path, LIMITS)
    http = Http1(App(Door(pool, ApiSettings(), LIMITS), Router(table.ROUTES), None), LIMITS)
    sock = socket.create_server(("127.0.0.1", 0))
    listener = await asyncio.get_running_loop().create_server(http.protocol, sock=sock)
    served.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    authority = Authority(path.parent)
    secure, silent = _with_tls(authority, path.parent), Silent(LIMITS.connections, LIMITS.header_seconds)
    sock = socket.create_server(("127.0.0.1", 0))
    other = await asyncio.get_running_loop().create_server(lambda: Encrypted(secure, http.protocol, silent), sock=sock)
    served.secure_url, served.ca = f"https://127.0.0.1:{sock.getsockname()[1]}", authority.ca
    try:
        yield served
    finally:
        listener.close()
        other.close()
        await http.close()
        pool.close()
        await server.close(0.1)


def _with_tls(authority: Authority, directory: Path) -> ssl.SSLContext:
    certificate, key = authority.issue()
    certificate.rename(directory / tls.CERTIFICATE)
    key.rename(directory / tls.KEY)
    made = tls.context(ApiSettings(tls_certificate="/web.pem", tls_key="/web.key"), str(directory))
    assert made
    return made


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """Room and door, until the end of the block, on a loop of their own."""
    with directory() as where, on_a_loop(lambda: _serving(where / "sandbox.sock")) as served:
        yield served

# SPDX-License-Identifier: MIT
"""A sandbox room that takes what the real one takes, and answers from a table: every method, no sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from strata.errors import StrataError, Unauthenticated
from strata.sandbox import handlers
from strata.sandbox.params_session import Addressed
from strata.sandbox.params_terminal import AttachParams, ResizeParams, size
from strata.sockets import listen
from strata.sockets.method import Call, Method
from strata.sockets.server import Server
from strata.types import Access

RESULT = {
    "output": "out", "stdout": "out\n", "stderr": "", "exit_code": 0, "ended": "exit", "elapsed": "12ms",
    "elapsed_ms": 12, "cpu_ms": 1.5, "memory_peak": 4096, "truncated": False, "cwd": "/root",
}  # fmt: skip
SESSION = {
    "owner": "a", "session": "b", "created_at": "2026-11-22T03:11:00Z", "unit": "strata-sandbox-a-b.scope",
    "state": "open", "driver": "kernel", "network": "isolated", "limits": {"memory_max": "1G"}, "labels": {},
    "ttl_seconds": 1800.0, "created": True, "warnings": [], "pid": 7,
}  # fmt: skip
RUN = {"id": "00000001", "state": "running", "argv": ["true"], "started_at": "2026-11-22T03:11:00Z"}
CONTENT = b"the content of a file\n"
ANSWERS: dict[str, Any] = {
    "create": SESSION, "describe": SESSION, "extend": SESSION, "freeze": SESSION, "thaw": SESSION, "fork": SESSION,
    "list": {"sessions": [SESSION]}, "close": {"status": "closed"}, "stats": {"active_sessions": 1, "max_sessions": 9},
    "usage": {"cpu_ms": 1.5, "memory": 4096, "tasks": 2}, "templates": {"templates": [{"name": "py"}]}, "exec": RESULT,
    "runs": {"runs": [RUN]}, "wait": RUN | {"state": "ended", "ended": "exit", "exit_code": 0}, "kill": RUN,
    "signal": {"id": "00000001", "signal": "TERM", "processes": 1}, "resize": {}, "hangup": {"status": "closed"},
    "terminals": {"terminals": [{"terminal": "main", "rows": 24, "cols": 80}]}, "mkdir": {"path": "/root/d"},
    "stat": {"path": "/root/f", "kind": "file", "size": 22, "mode": "0644", "mtime": 1.5}, "remove": {},
    "move": {"from": "/root/f", "to": "/root/g"}, "snapshot": {"name": "s", "size": 9}, "snapshots": {"snapshots": []},
    "files": {"path": "/root", "entries": [{"name": "f", "kind": "file", "size": 22, "mode": "0644"}]},
    "diff": {"changes": [{"path": "/root/f", "kind": "added", "type": "file", "size": 22}]}, "remove_snapshot": {},
}  # fmt: skip
ANSWERS["list_files"] = ANSWERS["files"]


def methods() -> tuple[Method, ...]:
    """A row for each of the real room's."""
    return tuple(row._replace(run=_function(row.name.partition(".")[2]), cancel=True) for row in handlers.METHODS)


async def served(path: Path) -> Server:
    """The room, listening."""
    server = Server(methods(), None, _gate, _denied, descriptors=True)
    await server.listen(listen.bound(path))
    return server


def _gate(access: Access, call: Call) -> Any:
    if not call.token.startswith("good"):
        raise Unauthenticated("token required" if not call.token else "invalid token")
    return {"sub": "me"}


def _denied(call: Call, error: StrataError) -> None:
    """Nobody reads an audit here."""


def _function(name: str) -> Callable[[Any, Call, Any], Any]:
    streams: dict[str, Callable[[Any, Call, Any], Any]] = {
        "attach": _attach, "watch": _watch, "output": _output, "put": _put, "get": _get, "export": _get, "run": _run,
    }  # fmt: skip
    if name in streams:
        return streams[name]

    def answer(room: Any, call: Call, params: Any) -> Any:
        _judge(params)
        return ANSWERS[name]

    return answer


def _judge(params: Any) -> None:
    """As the real one does before anything else. Raises InvalidArgument."""
    if type(params).__name__ == "ListParams" or not isinstance(params, Addressed):
        return
    _ = params.key
    if isinstance(params, AttachParams | ResizeParams):
        size(params.rows, params.cols)
    if hasattr(params, "wanted"):
        _ = params.wanted
    if hasattr(params, "place"):
        _ = params.place


async def _run(room: Any, call: Call, params: Any) -> Any:
    _judge(params)
    if params.background:
        return {"id": "00000001", "state": "running"}
    for name, fd in zip(params.descriptors or (), call.descriptors, strict=False):
        if name != "stdin":
            with contextlib.suppress(OSError):
                os.write(fd, name.encode())
        else:
            await _slurp(fd)
    return RESULT | {"id": "00000001"}


async def _put(room: Any, call: Call, params: Any) -> Any:
    _judge(params)
    data = await _slurp(call.descriptors[0]) if call.descriptors else b""
    return {"path": "/root/f", "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "created": True}


async def _slurp(given: int) -> bytes:
    """All that comes; whoever asked for it may leave meanwhile, and then nobody reads any more."""
    loop, source, found = asyncio.get_running_loop(), os.dup(given), bytearray()
    os.set_blocking(source, False)
    try:
        while True:
            arrived = asyncio.Event()
            loop.add_reader(source, arrived.set)
            await arrived.wait()
            loop.remove_reader(source)
            with contextlib.suppress(BlockingIOError):
                if not (data := os.read(source, 65_536)):
                    return bytes(found)
                found += data
    finally:
        loop.remove_reader(source)
        os.close(source)


async def _get(room: Any, call: Call, params: Any) -> Any:
    _judge(params)
    begin = max(0, getattr(params, "offset", None) or 0)
    data = CONTENT[begin:][: getattr(params, "size", None)]
    for fd in call.descriptors:
        with contextlib.suppress(OSError):
            os.write(fd, data)
    said = {"path": "/root/f", "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "mode": "0644"}
    inline = {} if call.descriptors else {"data": data.decode()}
    return said | inline | {"mtime": 1.5, "total": len(CONTENT), "eof": True, "complete": True}


async def _output(room: Any, call: Call, params: Any) -> AsyncIterator[Any]:
    _judge(params)
    yield {"stream": "stdout", "offset": 0, "size": 4, "data": "text"}
    yield RUN | RESULT | {"state": "ended"}


async def _watch(room: Any, call: Call, params: Any) -> AsyncIterator[Any]:
    _judge(params)
    yield {"event": "watching", "path": "/root"}
    yield {"event": "moved", "path": "/root/g", "from": "/root/f"}


async def _attach(room: Any, call: Call, params: Any) -> AsyncIterator[Any]:
    """A terminal that says back what is typed; `exit` ends it."""
    _judge(params)
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(call.descriptors[0])) as sock:
        sock.setblocking(False)
        yield {"attached": {"terminal": "main", "offset": 0, "rows": 24, "cols": 80, "viewers": 1, "viewer": 1}}
        with contextlib.suppress(ConnectionError):
            while typed := await loop.sock_recv(sock, 65_536):
                await loop.sock_sendall(sock, typed)
                if typed.endswith(b"exit\n"):
                    yield {"ended": "exit", "exit_code": 0}
                    return

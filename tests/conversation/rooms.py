# SPDX-License-Identifier: MIT
"""A whole room behind the real server, on a loop in a thread of its own, so that tests talk to it as clients do."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pyseto
import pytest
import uvloop
from nacl.signing import SigningKey

from strata.policy.capability import SECOND, Claims, Constraints, encode
from strata.policy.token import V2, PublicKey
from strata.sockets import listen
from strata.sockets.client import Client
from strata.sockets.server import Server
from strata.systemd import journal

T = TypeVar("T")
DEADLINE = 15.0
uvloop.run(asyncio.sleep(0))  # libuv's signal pipe is opened once per process and kept: no test may be blamed for it

Composer = Callable[[], contextlib.AbstractAsyncContextManager[Server]]


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """A directory that peers of any uid can enter, with a path short enough for a socket."""
    made = Path(os.path.realpath(tempfile.mkdtemp(prefix="strata-room-")))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


class Served:
    """A room that answers at `path`; `loop` is its loop, `client()` a new connection."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path, self.loop = path, loop

    def client(self) -> Client:
        return Client(self.path, timeout=DEADLINE)

    def call(self, method: str, token: str = "", /, **params: Any) -> Any:
        with self.client() as client:
            return client.call(method, params, token)

    def inside(self, work: Callable[[], Any]) -> Any:
        """Run `work` on the room's own loop, as its other callbacks do."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(DEADLINE)


@contextlib.contextmanager
def on_a_loop(composer: Callable[[], contextlib.AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What the composer yields, on a loop in a thread of its own, until the end of the block."""
    ready: list[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = []
    started = threading.Event()

    async def life() -> None:
        end = asyncio.Event()
        async with composer() as found:
            ready.append((found, asyncio.get_running_loop(), end))
            started.set()
            await end.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(life())
        finally:
            started.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert started.wait(DEADLINE)
    assert ready, "it did not start"
    found, loop, end = ready[0]
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(DEADLINE)
        assert not thread.is_alive(), "it did not end"


@contextlib.contextmanager
def served(composer: Composer, path: Path) -> Iterator[Served]:
    """Serve until the end of the block."""

    @contextlib.asynccontextmanager
    async def listening() -> AsyncIterator[Served]:
        async with composer() as server:
            await server.listen(listen.bound(path))
            yield Served(path, asyncio.get_running_loop())
            await server.close()
        journal.flush()

    with on_a_loop(listening) as found:
        yield found


class Issuer:
    """Signs whatever a test wants, with pyseto and a key of its own."""

    def __init__(self, seed: bytes = bytes(range(32))) -> None:
        self._key = pyseto.Key.from_asymmetric_key_params(2, d=seed)
        self.public = PublicKey(V2, bytes(SigningKey(seed).verify_key))
        self._issued = 0

    def claims(self, *rights: str, prefix: str = "", ttl: float = 60, **more: Any) -> Claims:
        self._issued += 1
        limits = {key: more.pop(key) for key in ("rate_limit", "path_root") if key in more}
        now = time.time_ns()
        fields: dict[str, Any] = {"jti": f"{self._issued:032x}", "service": "fs", "rights": rights} | more
        exp = now + int(ttl * SECOND)
        return Claims(iat=now, exp=exp, constraints=Constraints(path_prefix=prefix, **limits), **fields)

    def sign(self, claims: Claims) -> str:
        return pyseto.encode(self._key, encode(claims)).decode()

    def token(self, *rights: str, prefix: str = "", **more: Any) -> str:
        return self.sign(self.claims(*rights, prefix=prefix, **more))


class Journal:
    """A socket in the journal's place; `records` are what it got, parsed by the native protocol."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._seen: list[dict[str, str]] = []

    def wait_for(self, event: str, **fields: str) -> dict[str, str]:
        """The first record of `event` with these STRATA_ fields; fails after DEADLINE."""
        wanted = {"STRATA_EVENT": event} | {f"STRATA_{name.upper()}": value for name, value in fields.items()}
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            for record in self._seen:
                if wanted.items() <= record.items():
                    return record
            with contextlib.suppress(TimeoutError):
                self._seen.append(_parse(self._sock.recv(1 << 20)))
        raise AssertionError(f"no record {wanted} among {self._seen}")


def _parse(datagram: bytes) -> dict[str, str]:
    record = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, found, value = line.partition(b"=")
        if not found:
            (size,) = struct.unpack_from("<Q", datagram)
            value, datagram = datagram[8 : 8 + size], datagram[9 + size :]
        record[name.decode()] = value.decode()
    return record


@contextlib.contextmanager
def listening_journal(patch: pytest.MonkeyPatch, at: Path) -> Iterator[Journal]:
    """Everything sent to the journal in the block comes here instead."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(at))
        sock.settimeout(0.2)
        patch.setattr(journal, "SOCKET", str(at))
        yield Journal(sock)


_STRANGER = """
import json, socket, struct, sys
sock = socket.socket(socket.AF_UNIX); sock.settimeout(10); sock.connect(sys.argv[1])
raw = sys.argv[2].encode(); sock.sendall(struct.pack(">I", len(raw)) + raw)
size = struct.unpack(">I", sock.recv(4, socket.MSG_WAITALL))[0]
print(sock.recv(size, socket.MSG_WAITALL).decode())
"""


def as_stranger(path: Path, method: str, token: str = "", /, **params: Any) -> dict[str, Any]:
    """The whole reply to a call made by uid 65534. Needs root, and says so."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be somebody else")
    request: dict[str, Any] = {"v": 1, "req_id": "stranger", "method": method, "params": params}
    if token:
        request["auth"] = {"token": token}
    python = os.path.realpath(sys.executable)  # a virtual environment may lie where others cannot go
    done = subprocess.run(
        [python, "-I", "-S", "-c", _STRANGER, str(path), json.dumps(request)],
        user=65534, group=65534, extra_groups=[], capture_output=True, text=True, timeout=DEADLINE, check=False,
        cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()

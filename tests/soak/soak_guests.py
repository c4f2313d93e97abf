# SPDX-License-Identifier: MIT
"""Users of sandboxes: over the unix socket, HTTP, WebSocket, gRPC and MCP. Each work is a whole visit."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import soak_place  # noqa: F401  finds the modules of the live ring
from node import Node
from soak_book import Book, Interrupted, Refused, Wrong
from visitor import ACTIONS, SERVICE, Answer, Visitor
from websockets.exceptions import ConnectionClosed

from strata.client import Client
from strata.client.session import Session
from strata.errors import NotFound, StrataError

OWNERS = ("ann", "bob", "cid", "dot")
_PATIENCE = 45.0
_serial = itertools.count()


class Guests:
    """What the works share: the node, the book, one client of the unix socket, and the leak if one is wished for."""

    def __init__(self, node: Node, book: Book, seed: int, leak: int = 0) -> None:
        self.node, self.book, self._seed, self._leak = node, book, seed, leak
        self.client = Client(node.manager.paths.socket("sandbox"))
        self.scratch = tempfile.TemporaryDirectory(prefix="strata-soak-client-")
        self._closed = itertools.count(1)
        self._doubtful: list[Session] = []

    def sweep(self) -> None:
        """Close what appeared only after it should have been closed: who asked for it was cut off by a restart."""
        for session in self._doubtful:
            with contextlib.suppress(NotFound):
                session.close()

    def end(self) -> None:
        self.client.close()
        self.scratch.cleanup()

    def name(self, dice: random.Random) -> tuple[str, str]:
        """Owner and a session name that was never used; now and then an owner who was never seen, too."""
        number = next(_serial)
        owner = f"new{number}" if dice.random() < 0.1 else dice.choice(OWNERS)
        return owner, f"s-{number}"

    @contextlib.contextmanager
    def session(self, dice: random.Random, **options: Any) -> Iterator[Session]:
        """An open one, closed at the end whatever happened; unless it is the one in so many that is leaked."""
        session = self.client.session(*self.name(dice))
        try:
            with self.book.timed("create"):
                session.create(**options)
            yield session
        finally:
            self.close(session)

    def close(self, session: Session) -> None:
        if self._leak and next(self._closed) % self._leak == 0:
            return
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with self.book.timed("close"):
                    session.close()
                return
            except NotFound:
                self._doubtful.append(session)
                return
            except (StrataError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def visitor(self, owner: str, name: str) -> Visitor:
        """The same over TCP, with a token of its own that lasts a few minutes."""
        with self.book.timed("token issue"):
            token = self.node.issue(service=SERVICE, actions=list(ACTIONS), owner=owner, ttl_seconds=300).token
        return Visitor(self.node.address, owner, token, name)


def ok(answer: Answer) -> Any:
    """What a 200 says. Raises Refused."""
    if answer.status >= 400:
        try:
            said = answer.json
        except ValueError:
            raise Refused(str(answer.status), answer.body.decode(errors="replace")) from None
        raise Refused(str(said.get("name", answer.status)), str(said.get("error", said)))
    return answer.json


def same(found: object, wanted: object) -> None:
    """Raises Wrong."""
    if found != wanted:
        raise Wrong(f"{found!r:.200} and not {wanted!r:.200}")


# --- the works


def commands(guests: Guests, dice: random.Random) -> None:
    """A shell that remembers, over the unix socket."""
    with guests.session(dice) as session:
        for number in range(dice.randint(1, 5)):
            with guests.book.timed("exec"):
                said = session.exec(f"cd /tmp; N{number}={number}; echo $PWD $N{number}")
            if said.shell or said.ended == "cancelled":
                raise Interrupted("the shell had to be started again")
            same(said.output.strip(), f"/tmp {number}")
        with guests.book.timed("run"):
            done = session.run(["sh", "-c", "cat; exit 3"], stdin="in")
        same((done.stdout, done.exit_code), ("in", 3))


def runs(guests: Guests, dice: random.Random) -> None:
    """Programs in the background: read while they run, waited for, killed."""
    with guests.session(dice) as session:
        with guests.book.timed("start"):
            short = session.start(["sh", "-c", "echo one; sleep 0.2; echo two"])
            endless = session.start(["sh", "-c", "while :; do echo more; sleep 0.05; done"])
        with guests.book.timed("output"):
            list(session.output(short.id, follow=True))
        same(session.wait(short.id, timeout=10).exit_code, 0)
        with guests.book.timed("kill"):
            session.kill(endless.id)
        same(len(session.runs()), 2)


def files(guests: Guests, dice: random.Random) -> None:
    """Up, down, moved, listed, compared, exported."""
    content = dice.randbytes(dice.choice((10, 4096, 300_000)))
    local = os.path.join(guests.scratch.name, f"f{next(_serial)}")
    with guests.session(dice) as session:
        with guests.book.timed("write"):
            session.write("one", content)
        session.mkdir("sub/dir", parents=True)
        session.move("one", "sub/two")
        with guests.book.timed("get"):
            session.get("sub/two", local)
        with guests.book.timed("put"):
            session.put(local, "three")
        same(session.read("three"), content)
        same([entry.name for entry in session.files("sub")], ["dir", "two"])
        with guests.book.timed("diff"):
            changed = {change.path for change in session.diff()}
        same({"/root/sub/two", "/root/three"} <= changed, True)
        with guests.book.timed("export"):
            session.export(local)
        session.remove("sub", recursive=True)
    os.unlink(local)


def terminals(guests: Guests, dice: random.Random) -> None:
    """Left and rejoined, with the offset; then hung up, or left to the end of the session."""
    with guests.session(dice) as session:
        with guests.book.timed("attach"), session.shell(rows=30, cols=100) as terminal:
            terminal.send(b"echo first-$((40+2))\n")
            _shown(terminal, b"first-42")
            offset = terminal.offset
        for number in range(dice.randint(1, 3)):
            with guests.book.timed("attach again"), session.shell(offset=offset) as terminal:
                terminal.resize(24 + number, 80)
                terminal.send(b"echo again-$((%d+1))\n" % number)
                _shown(terminal, b"again-%d" % (number + 1))
                offset = terminal.offset
        if dice.random() < 0.5:
            session.hangup()


def _shown(terminal: Any, wanted: bytes) -> None:
    terminal.socket.settimeout(20.0)
    shown = b""
    while wanted not in shown:
        if not (data := terminal.receive()):
            raise Interrupted(f"the terminal ended before {wanted!r}: {shown[-200:]!r}")
        shown += data


def snapshots(guests: Guests, dice: random.Random) -> None:
    """A snapshot, a session that stands on it, a fork, and all of it gone again."""
    name = f"k{next(_serial)}"
    with guests.session(dice) as session:
        session.write("kept", name)
        with guests.book.timed("snapshot"):
            session.snapshot(name)
        with contextlib.ExitStack() as stack:
            for how in ({"snapshot": name}, {}):
                with guests.book.timed("fork"):
                    fork = session.fork(f"{session.name}-{len(how)}", **how)
                stack.callback(guests.close, fork)
                same(fork.read("kept"), name.encode())
        with guests.book.timed("remove snapshot"):
            session.remove_snapshot(name)


def ends(guests: Guests, dice: random.Random) -> None:
    """Sessions that nobody closes: their idle time, or their whole lifetime, is over."""
    kind, span = dice.choice((("ttl", "2s"), ("lifetime", "15s")))  # a lifetime may not be over while it is opened
    session = guests.client.session(*guests.name(dice))
    session.create(**{kind: span})
    session.exec("sleep 1000 >/dev/null 2>&1 &" if kind == "lifetime" else "true")
    deadline = time.monotonic() + 60.0
    with guests.book.timed(f"end by {kind}"):
        while any(one.session == session.name for one in guests.client.sessions(session.owner)):
            if time.monotonic() > deadline:
                raise Wrong(f"{session.owner}/{session.name} is still there a minute after its {kind}")
            time.sleep(0.5)


def frozen(guests: Guests, dice: random.Random) -> None:
    """Stopped where it is, looked at, and on again."""
    with guests.session(dice, labels={"soak": "frozen"}, limits={"memory_max": "64M", "disk_max": "64M"}) as session:
        session.exec("sleep 1000 >/dev/null 2>&1 &")
        with guests.book.timed("freeze"):
            session.freeze()
        session.usage()
        same(session.describe().state, "frozen")
        with guests.book.timed("thaw"):
            session.thaw()
        session.extend(ttl="10m")


def http(guests: Guests, dice: random.Random) -> None:
    """The predecessor's routes and our own, a connection for each request."""
    user = guests.visitor(*guests.name(dice))
    try:
        with guests.book.timed("http create"):
            ok(user.ask("PUT", f"/api/v1/sessions/{user.owner}/{user.session}", {"labels": {"by": "http"}}))
        for _ in range(dice.randint(1, 4)):
            with guests.book.timed("http exec"):
                same(ok(user.ask("POST", f"{user.path}/exec", {"command": "echo over http"}))["output"], "over http")
        same(user.ask("GET", f"/api/v1/sessions/{user.owner}/nobody").status, 404)
    finally:
        guests.close(guests.client.session(user.owner, user.session))


def websocket(guests: Guests, dice: random.Random) -> None:
    """A shell in a browser, closed by half of them."""
    user = guests.visitor(*guests.name(dice))
    try:
        with guests.book.timed("websocket"), user.web() as shell:
            shell.type("echo ws-$((40+2))\n")
            try:
                while "ws-42" not in shell.shown:
                    same(shell.receive()["type"], "output")
            except (ConnectionClosed, Wrong) as error:
                raise Interrupted(f"the WebSocket ended: {error}") from error
    finally:
        guests.close(guests.client.session(user.owner, user.session))


def grpc(guests: Guests, dice: random.Random) -> None:
    """The predecessor's service."""
    user = guests.visitor(*guests.name(dice))
    try:
        with user.grpc() as rpc:
            with guests.book.timed("grpc create"):
                rpc.create()
            for _ in range(dice.randint(1, 4)):
                with guests.book.timed("grpc exec"):
                    same(rpc.exec("echo over grpc").output.strip(), "over grpc")
            rpc.stats()
    finally:
        guests.close(guests.client.session(user.owner, user.session))


def mcp(guests: Guests, dice: random.Random) -> None:
    """A model's host: a session of MCP, some tools, and its end (left open by some, as hosts do that crash)."""
    user = guests.visitor(*guests.name(dice))
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"} | user.id_headers
    info = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
    try:
        with guests.book.timed("mcp initialize"):
            begun = user.ask("POST", "/mcp/", _message("initialize", **info), **sent)
            if begun.status != 200:
                ok(begun)
        sent |= {"Mcp-Session-Id": begun.headers["mcp-session-id"], "Mcp-Protocol-Version": "2025-06-18"}
        user.ask("POST", "/mcp/", {"jsonrpc": "2.0", "method": "notifications/initialized"}, **sent)
        for tool, arguments in (
            ("exec", {"command": "echo over mcp"}),
            ("write_file", {"path": "note", "content": "text"}),
            ("read_file", {"path": "note"}),
            ("list_files", {"path": "."}),
        ):
            with guests.book.timed(f"mcp {tool}"):
                answer = user.ask("POST", "/mcp/", _message("tools/call", name=tool, arguments=arguments), **sent)
                _tool(answer)
        user.ask("DELETE", "/mcp/", **sent)
    finally:
        guests.close(guests.client.session(user.owner, user.session))


def _message(method: str, /, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def _tool(answer: Answer) -> None:
    if answer.status == 404:
        raise Interrupted("sessions of MCP end with the door")
    if answer.status != 200:
        ok(answer)
    lines = answer.body.decode().splitlines()
    text = next((line[6:] for line in lines if line.startswith("data: {")), answer.body.decode())
    said = json.loads(text)
    if "error" in said:
        raise Refused(str(said["error"]["code"]), said["error"]["message"])
    if said["result"].get("isError"):
        told = said["result"].get("structuredContent") or {}
        raise Refused(str(told.get("error", "tool")), str(said["result"]["content"])[:300])

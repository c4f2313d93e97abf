# SPDX-License-Identifier: MIT
"""Clients of sandboxes: the same verbs over the unix socket and over HTTP, and others over WebSocket and gRPC."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

from acknowledged import ABSENT, Key
from load import Caller, Client, NotNow, Verb
from visitor import ACTIONS, Visitor
from world import World

from strata.client import Client as Strata
from strata.client.session import Session
from strata.errors import Conflict, NotFound, Unavailable

OPEN, PRESENT, RUNNING = "open", "present", "running"
SECONDS = 40.0
NAMES = 2
LIMITS: Any = {"disk_max": "16M", "memory_max": "192M", "tasks_max": 64}
CHILDREN = ("content", "variable", "run", "terminal")
LONG = 86_400
Made = Callable[[Caller], Strata]


def visitor(world: World, owner: str, token: str, session: str = "s") -> Visitor:
    """Somebody at the door."""
    return Visitor(world.node.address, owner, token, session)


def token_of(caller: Caller, owner: str) -> str:
    """For the whole walk."""
    if "token" not in caller.kept:
        wanted = {"service": "sandbox", "actions": [*ACTIONS], "owner": owner, "ttl_seconds": LONG}
        caller.kept["token"] = caller.world.call("identity.issue", wanted)["token"]
    return str(caller.kept["token"])


def of_session(key: Key) -> Callable[[Key], bool]:
    """Things that are in a session."""
    return lambda thing: thing[:2] == key


class User:
    """Sessions of `owner` over the client library, at whatever `client` connects to."""

    def __init__(self, owner: str, endpoint: Callable[[Caller], tuple[str, str]]) -> None:
        self.owner, self._endpoint = owner, endpoint

    @contextlib.contextmanager
    def _session(self, caller: Caller, must_be_open: bool = True) -> Iterator[tuple[Key, Session]]:
        key = (self.owner, f"s-{caller.chance.randrange(NAMES)}")
        if must_be_open and not caller.ledger.sure("session", key, OPEN):
            raise NotNow
        endpoint, token = self._endpoint(caller)
        with Strata(endpoint, token=token, timeout=SECONDS) as strata:
            yield key, strata.session(*map(str, key))

    def create(self, caller: Caller) -> None:
        with self._session(caller, must_be_open=False) as (key, session):
            known = caller.ledger.sure("session", key, OPEN)
            with caller.ledger.doing("session", key, OPEN, "created"):
                found = session.create(limits=LIMITS)
            caller.expect(
                not (known and found.created), f"{key} was open, and nobody knew when it was asked for again", "session"
            )
            if found.created:
                for kind in CHILDREN:
                    caller.ledger.forget(kind, of_session(key))

    def close(self, caller: Caller) -> None:
        with self._session(caller) as (key, session):
            for kind in CHILDREN:
                caller.ledger.excuse(kind, ABSENT, "its session is closed", of_session(key))
            with caller.ledger.doing("session", key, ABSENT, "closed"):
                session.close()
            for kind in CHILDREN:
                caller.ledger.forget(kind, of_session(key))

    def remember(self, caller: Caller) -> None:
        """A variable of the shell."""
        with self._session(caller) as (key, session):
            value = str(caller.chance.getrandbits(32))
            caller.ledger.maybe("variable", key, "", "a command that gets no answer may cost the shell")
            with caller.ledger.doing("variable", key, value):
                done = session.exec(f"CHAOS={value}; echo $((6 * 7))", timeout=20)
                if not done.ok:  # it was ended by somebody, and that is told
                    raise Unavailable(f"ended by {done.ended}")
            caller.expect(done.output == "42", f"{key} says {done.output!r} for 42")

    def write(self, caller: Caller) -> None:
        with self._session(caller) as (key, session):
            path, data = f"file-{caller.chance.randrange(3)}", f"{caller.chance.getrandbits(64):x}" * 64
            with caller.ledger.doing("content", (*key, path), data, f"{data[:8]}…"):
                session.write(path, data)

    def read(self, caller: Caller) -> None:
        with self._session(caller) as (key, session):
            path = f"file-{caller.chance.randrange(3)}"
            entry = caller.ledger.of("content").get((*key, path))
            if entry and len(entry.possible) == 1 and entry.possible[0] is not ABSENT:
                data = session.read(path)
                now = caller.ledger.of("content").get((*key, path))
                if now and len(now.possible) == 1:
                    caller.expect(
                        data.decode() == entry.possible[0], f"{key} {path} is other than it was written", "content"
                    )

    def run(self, caller: Caller) -> None:
        """In the foreground."""
        with self._session(caller) as (key, session):
            done = session.run(["sh", "-c", "cat; exit 3"], stdin="given", timeout=20)
            if done.ended == "exit" and not done.error:  # an error says why it could not be executed
                caller.expect((done.exit_code, done.stdout) == (3, "given"), f"{key} run: {done}")

    def background(self, caller: Caller) -> None:
        """A run that goes on by itself, and ends or does not."""
        with self._session(caller) as (key, session):
            if len([one for one in caller.ledger.of("run") if one[:2] == key]) > 6:
                raise NotNow
            code = caller.chance.randrange(256)
            long = caller.chance.random() < 0.4
            script = "sleep 1000" if long else f"sleep 0.{caller.chance.randrange(10)}; exit {code}"
            started = session.start(["sh", "-c", script])
            caller.ledger.done("run", (*key, started.id), RUNNING if long else ("exit", code), "started")

    def kill(self, caller: Caller) -> None:
        with self._session(caller) as (key, session):
            running = [
                one for one, entry in caller.ledger.of("run").items() if one[:2] == key and RUNNING in entry.possible
            ]
            if not running:
                raise NotNow
            one = sorted(running, key=str)[0]
            with caller.ledger.doing("run", one, ("signal", None), "killed"):
                session.kill(str(one[2]))

    def snapshot(self, caller: Caller) -> None:
        with self._session(caller) as (_, session):
            name = f"p{caller.chance.randrange(2)}"
            one = (self.owner, name)
            if caller.ledger.of("snapshot").get(one) is None:
                with caller.ledger.doing("snapshot", one, PRESENT, "made"):
                    session.snapshot(name)
                return
            with caller.ledger.doing("snapshot", one, ABSENT, "removed"), contextlib.suppress(NotFound):
                session.remove_snapshot(name)
            caller.ledger.forget("snapshot", lambda key: key == one)

    def terminal(self, caller: Caller) -> None:
        """Look at it, type, read, leave it."""
        with self._session(caller) as (key, session):
            caller.ledger.maybe("terminal", (*key, "t"), PRESENT, "attached")
            with session.shell("t") as terminal:
                number = caller.chance.randrange(10_000)
                terminal.send(f"echo $(({number} + 1000000))\n".encode())
                seen, deadline = b"", time.monotonic() + 10
                while str(number + 1_000_000).encode() not in seen:
                    if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
                        raise Unavailable(f"the terminal showed only {seen!r}")
                    data = terminal.receive()
                    if not data:
                        raise Unavailable("the terminal was dropped")
                    seen += data
            caller.ledger.done("terminal", (*key, "t"), PRESENT, "used")

    def freeze(self, caller: Caller) -> None:
        with self._session(caller) as (_, session):
            try:
                session.freeze()
            finally:
                deadline = time.monotonic() + 30
                while not _thawed(session) and time.monotonic() < deadline:
                    time.sleep(0.05)

    @property
    def verbs(self) -> tuple[tuple[int, Verb], ...]:
        common: tuple[tuple[int, Verb], ...] = ((3, self.create), (1, self.close), (4, self.remember), (3, self.write))
        return (*common, (3, self.read), (3, self.run), (2, self.background), (1, self.kill), (1, self.snapshot))


def _thawed(session: Session) -> bool:
    try:
        session.thaw()
    except (Conflict, NotFound):
        return True
    except (Unavailable, OSError):
        return False
    return True


class Guest:
    """The predecessor's clients: gRPC and WebSocket."""

    OWNER = "cyd"
    KEY: Key = (OWNER, "s")

    def _visitor(self, caller: Caller) -> Visitor:
        return visitor(caller.world, self.OWNER, token_of(caller, self.OWNER))

    def create(self, caller: Caller) -> None:
        with self._visitor(caller).grpc() as rpc, caller.ledger.doing("session", self.KEY, OPEN, "created by gRPC"):
            rpc.create()

    def exec(self, caller: Caller) -> None:
        if not caller.ledger.sure("session", self.KEY, OPEN):
            raise NotNow
        with self._visitor(caller).grpc() as rpc:
            done = rpc.exec("echo $((6 * 7))", timeout_ms=20_000)
            caller.expect(done.output in ("42", "") or bool(done.error), f"gRPC exec: {done}")

    def close(self, caller: Caller) -> None:
        if not caller.ledger.sure("session", self.KEY, OPEN):
            raise NotNow
        with self._visitor(caller).grpc() as rpc, caller.ledger.doing("session", self.KEY, ABSENT, "closed by gRPC"):
            rpc.close()

    def web(self, caller: Caller) -> None:
        """A shell in a browser."""
        if not caller.ledger.sure("session", self.KEY, OPEN):
            raise NotNow
        number = caller.chance.randrange(10_000)
        with self._visitor(caller).web() as shell:
            shell.type(f"echo $(({number} + 1000000))\n")
            try:
                shell.until(str(number + 1_000_000))
            except AssertionError as dropped:  # it was told why, and hung up on
                raise Unavailable(str(dropped)) from dropped


def clients() -> tuple[Client, ...]:
    """For one walk."""
    local = User("ann", lambda caller: (str(caller.world.paths.socket("sandbox")), ""))
    door = User("bob", lambda caller: (f"http://{caller.world.node.address}", token_of(caller, "bob")))
    guest = Guest()
    return (
        Client("sandbox-unix", (*local.verbs, (2, local.terminal), (1, local.freeze))),
        Client("sandbox-http", door.verbs),
        Client("sandbox-guest", ((2, guest.create), (4, guest.exec), (1, guest.close), (2, guest.web))),
    )

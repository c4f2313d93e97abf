# SPDX-License-Identifier: MIT
"""A Strata that is restarted and upgraded while it is used: its place, and the crowd that uses it."""

from __future__ import annotations

import contextlib
import http.client
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import carried
import machine
import pytest
import visitor
from copied import Copy, installed
from inside import Inside
from machine import Manager
from node import CORE, Node, until
from visitor import Visitor

from strata.sockets.client import Client

SUPERVISOR = "strata-supervisor.service"
SLEEPER = 'command = ["/bin/sleep", "infinity"]\n'
LISTENER = SLEEPER + '[socket]\nlisten = "${runtime_dir}/mine.sock"\n'
COUNTING = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done"


class Place:
    """A Strata whose code is a copy that a test may change, on `manager`."""

    def __init__(self, manager: Manager, copy: Copy) -> None:
        self.node, self.copy = Node(manager), copy
        self.settings = manager.paths.config_dir / "strata.toml"
        self.first_settings = self.settings.read_text()

    def ctl(self, *arguments: str, fails: bool = False) -> str:
        """What `strata-ctl` says, to both its streams."""
        done = self.copy.ctl(*arguments, env=self.node.environment)
        assert bool(done.returncode) == fails, done
        return done.stdout + done.stderr

    def systemctl(self, *arguments: str) -> str:
        done = self.node.manager.run(["systemctl", *arguments])
        assert done.returncode == 0, done.stderr + self.node.manager.journal_tail()
        return done.stdout.strip()

    def pids(self) -> dict[str, int]:
        """Of the services, by name."""
        return {name: row["pid"] for name, row in self.node.services().items()}

    def core_pids(self) -> dict[str, int]:
        return {name: pid for name, pid in self.pids().items() if name in CORE}

    def supervisor(self) -> int:
        return int(self.systemctl("show", "-P", "MainPID", SUPERVISOR))

    def rolled_out(self) -> str:
        """How far the roll-out came, once it is over."""
        until(lambda: self.node.call("supervisor.status")["rollout"] != "running", "the roll-out is over", 60.0)
        return str(self.node.call("supervisor.status")["rollout"])

    def events(self) -> list[tuple[str, str, str]]:
        """Service, event and message of all that this supervisor has told."""
        with Client(self.node.manager.paths.socket("supervisor"), timeout=30) as client:
            told = client.stream("supervisor.events", {"follow": False})
            return [(event["service"], event["event"], event["message"]) for event in told]

    def declare(self, manifest: str, name: str = "mine") -> None:
        (self.node.manager.paths.services_d / f"{name}.toml").write_text(manifest)
        assert not self.node.call("supervisor.svc.reload", {"apply": True})["problems"]
        until(lambda: self.node.services()[name]["state"] == "Healthy", f"{name} is Healthy")

    def mend(self) -> None:
        """As it was brought up."""
        self.settings.write_text(self.first_settings)
        for manifest in self.node.manager.paths.services_d.iterdir():
            manifest.unlink()
        self.ctl("restart")
        self.node.settle()


OWN = pytest.mark.parametrize("upgraded", ["own"], indirect=True)
BOTH = pytest.mark.parametrize("upgraded", ["own", "modern"], indirect=True)


@pytest.fixture(scope="module")
def upgraded(request: pytest.FixtureRequest) -> Iterator[Place]:
    """On a systemd of its own: of this machine's version, or of Debian 13's."""
    modern = request.param == "modern"
    request.getfixturevalue("modern_manager" if modern else "manager")  # it says what is missing
    with installed() as copy, contextlib.ExitStack() as stack:
        tree = Path(carried.__file__).parent.parent / ".cache/debian13"
        given = (tree, carried.into(tree)) if modern else ()
        place = Place(stack.enter_context(machine.private(*given)), copy)
        try:
            place.ctl("up")
            yield place
        finally:
            place.copy.ctl("down", env=place.node.environment)


@pytest.fixture
def place(upgraded: Place) -> Iterator[Place]:
    """Mended afterwards, pass or fail; sessions are closed."""
    yield upgraded
    upgraded.mend()
    for one in upgraded.node.call("sandbox.list")["sessions"]:
        upgraded.node.call("sandbox.close", {"owner": one["owner"], "session": one["session"]})


@pytest.fixture
def session(place: Place) -> Inside:
    """With a shell that remembers and a background run that counts."""
    found = Inside(place.node, f"u{uuid.uuid4().hex[:8]}", "s")
    found.call("create")
    found.call("exec", command="cd /tmp; colour=red")
    return found


def remembers(session: Inside) -> bool:
    """Its shell does."""
    return bool(session.call("exec", command="echo $colour in $PWD")["output"] == "red in /tmp")


def lines(session: Inside, run: str) -> list[str]:
    """What the run has counted."""
    return session.output(run).split()


@contextlib.contextmanager
def crowd(place: Place, owner: str) -> Iterator[dict[str, int]]:
    """Clients that come and go over every socket while the context lasts: how often each was answered. None may be
    refused, cut off or answered with an error."""
    token = place.node.issue(service=visitor.SERVICE, actions=list(visitor.ACTIONS), owner=owner).token
    guest = Visitor(place.node.address, owner, token)

    kept = http.client.HTTPConnection(guest.address, timeout=30)

    def ask_again() -> None:
        try:
            kept.request("GET", "/api/stats", headers=guest.authorization)
            response = kept.getresponse()
            assert (response.status, response.read()[:2]) == (200, b'{"')
        except (http.client.RemoteDisconnected, ConnectionError):
            kept.close()  # any server may hang up between two requests

    asking: dict[str, Callable[[], Any]] = {
        "supervisor": lambda: place.node.call("supervisor.status"),
        "registry": lambda: place.node.call("registry.resolve", {"service": "fs"}),
        "identity": lambda: place.node.issue(path_prefix="/tmp"),
        "sandbox": lambda: place.node.call("sandbox.exec", {"owner": owner, "session": "s", "command": "echo $colour"}),
        "http": lambda: guest.active(),
        "kept": ask_again,
    }
    answered, refused, over = dict.fromkeys(asking, 0), list[str](), threading.Event()

    def work(name: str) -> None:
        while not over.wait(0.005):
            try:
                asking[name]()
                answered[name] += 1
            except Exception as error:  # noqa: BLE001  whatever it is, it is told
                refused.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=work, args=(name,)) for name in asking]
    for thread in threads:
        thread.start()
    try:
        until(lambda: min(answered.values()) > 3, "everybody is answered")
        yield answered
        before = dict(answered)
        until(lambda: all(answered[name] > before[name] for name in asking), "everybody is answered again", 20.0)
    finally:
        over.set()
        for thread in threads:
            thread.join()
        kept.close()
    assert not refused, refused[:9]

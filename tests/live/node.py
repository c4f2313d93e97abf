# SPDX-License-Identifier: MIT
"""A running Strata, as its users have it: `strata-ctl`, four sockets, and the systemd below."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import wire
from machine import Manager
from wire import Wire

T = TypeVar("T")
CTL = Path(sys.executable).with_name("strata-ctl")
CORE = ("registry", "identity", "fs", "sandbox", "api")
NOBODY = 65534
READER: Mapping[str, Any] = {"service": "fs", "actions": ["open", "read", "list"]}


class Issued(NamedTuple):
    """What identity.issue answers."""

    token: str
    cap_id: str
    expires: int


def until(holds: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """Wait until `holds()` is true and return what it gave. Fails after `seconds`, saying what did not come true."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"within {seconds:g} s it did not come true that {what}"
        time.sleep(0.01)
    return found


def free_address() -> str:
    """An address of this machine that nothing listens on: a Strata of somebody else may have the usual one."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


@dataclass(frozen=True)
class Node:
    """Strata on `manager`, in the directories of that fixture; its door listens at `address`."""

    manager: Manager
    address: str = field(default_factory=free_address)

    @property
    def environment(self) -> dict[str, str]:
        """What a user of this node has in his environment."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")}
        return kept | self.manager.paths.environment() | {"STRATA_SERVER_ADDR": self.address}

    def ctl(self, *arguments: str, cwd: str | Path = "/", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `strata-ctl` as a user of this node does."""
        env = self.environment | environment
        return subprocess.run(
            [CTL, *arguments], cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    def connect(self, service: str, uid: int | None = None) -> AbstractContextManager[Wire]:
        """A raw connection to a core service, as another user if `uid` is given."""
        path = self.manager.paths.socket(service)
        return Wire.to(path) if uid is None else Wire.as_user(uid, path)

    def ask(self, method: str, params: Any = None, *, uid: int | None = None, **more: Any) -> dict[str, Any]:
        """One request on a connection of its own; the whole reply."""
        with self.connect(method.partition(".")[0], uid) as connection:
            return connection.ask(method, params, **more)

    def call(self, method: str, params: Any = None, **more: Any) -> Any:
        """As `ask`; the result, which must be ok."""
        return wire.result(self.ask(method, params, **more))

    def refusal(self, method: str, params: Any = None, **more: Any) -> tuple[int, str]:
        """As `ask`; code and message of the error, which there must be."""
        return wire.error(self.ask(method, params, **more))

    def issue(self, **params: Any) -> Issued:
        """A capability; by default one that may open, read and list."""
        found = self.call("identity.issue", {**READER, **params})
        return Issued(found["token"], found["cap_id"], found["expires"])

    # --- the services

    def services(self) -> dict[str, dict[str, Any]]:
        """The rows of supervisor.svc.list, by name."""
        return {row["name"]: row for row in self.call("supervisor.svc.list")["services"]}

    def states(self) -> set[str]:
        """The states that the core services are in now."""
        rows = self.services()
        return {rows[name]["state"] for name in CORE}

    def healthy(self) -> bool:
        """Whether all core services are Healthy and registered now."""
        return self.states() == {"Healthy"} and self.registered() >= {"identity", "fs"}

    def registered(self) -> set[str]:
        """The names in registry.list."""
        return {row["service"] for row in self.call("registry.list")["services"]}

    def kill(self, name: str) -> None:
        """SIGKILL to a service's main process; returns when another one is Healthy, with no crash on its account."""
        before = self.services()[name]["pid"]
        killed = self.manager.run(
            ["systemctl", "kill", "--kill-who=main", "--signal=KILL", self.services()[name]["unit"]]
        )
        assert killed.returncode == 0, killed.stderr
        until(lambda: self.services()[name]["pid"] not in (0, before), f"{name} has another process")
        self.settle()
        self.call("supervisor.svc.reset", {"name": name})

    def settle(self) -> None:
        """Wait until all is Healthy; start what a test left stopped."""
        for name in CORE:
            until(lambda name=name: self._is_on_its_way(name), f"{name} starts", 30.0)  # type: ignore[misc]
        until(self.healthy, "all core services are Healthy and registered", 30.0)

    def _is_on_its_way(self, name: str) -> bool:
        """Start it if it was stopped; what it needs may not be there yet."""
        if self.services()[name]["state"] not in ("Stopped", "Quarantined", "Declared"):
            return True
        return bool(self.ask("supervisor.svc.start", {"name": name})["ok"])

    def descriptors(self, name: str) -> list[str]:
        """What the open descriptors of a service's main process are."""
        pid = self.services()[name]["pid"]
        found = self.manager.run(["find", f"/proc/{pid}/fd", "-type", "l", "-printf", "%l\n"])
        assert found.returncode == 0, found.stderr
        return sorted(found.stdout.splitlines())

    @property
    def identity_state(self) -> Path:
        """Where the identity service keeps its keys (DynamicUser= and StateDirectory=, systemd.exec(5))."""
        top = self.manager.paths.state_dir if self.manager.embedded else Path("/var/lib")
        return top / "private/strata/identity"


@contextlib.contextmanager
def running(manager: Manager) -> Iterator[Node]:
    """Strata, Healthy, on that systemd while the context lasts."""
    node = Node(manager)
    up = node.ctl("up")
    assert up.returncode == 0, up.stderr
    yield node
    down = node.ctl("down")
    assert down.returncode == 0, down.stderr
    left = [path.name for path in manager.paths.runtime_dir.glob("*.sock")]
    assert not left, f"`strata-ctl down` left the sockets {left}"

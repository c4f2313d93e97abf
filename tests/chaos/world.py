# SPDX-License-Identifier: MIT
"""A Strata of its own to be broken: `strata-ctl up` on a private systemd, its directories on small disks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import census
import declared
import machine
from census import Proc
from hand import Hand
from machine import Manager
from node import CORE, Node, until

from strata.embedded import boot
from strata.embedded.record import Embedded
from strata.errors import StrataError, Unavailable
from strata.paths import Paths
from strata.sockets.client import Client

MARK = "strata-chaos"
STATE_SIZE, RUN_SIZE = "96M", "4M"
SETTLE_SECONDS = 45.0
_MNT_DETACH = 2
REGISTERED = {"identity", "fs", "sandbox"}
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class World:
    """Strata in `paths`; `hand` runs programs beside its systemd, `files` is a directory that its fs serves."""

    paths: Paths
    node: Node
    hand: Hand
    files: Path
    baseline: dict[str, Any] = field(default_factory=dict)

    @property
    def embedded(self) -> Embedded:
        found = self.node.manager.embedded
        assert found
        return found

    def call(self, method: str, params: Any = None, token: str = "", timeout: float = 30.0) -> Any:
        """One call on a connection of its own; raises its StrataError."""
        with Client(self.paths.socket(method.partition(".")[0]), timeout=timeout) as client:
            return client.call(method, params, token)

    def systemctl(self, *words: str) -> str:
        """What systemctl says; its refusal is no error of the test's: a unit may have gone a moment ago."""
        return self.hand.run("systemctl", *words).stdout

    def processes(self) -> list[Proc]:
        """All processes of this world, sorted by what they are, so that a seed chooses the same ones again."""
        return census.processes(self.embedded)

    def rows(self) -> dict[str, dict[str, Any]]:
        """supervisor.svc.list, by name."""
        return {row["name"]: row for row in self.call("supervisor.svc.list")["services"]}

    # --- what an operator does when something is wrong

    def mend(self) -> None:
        """Bring all back that is wished to be there: `strata-ctl up` for a supervisor that was stopped, `start` for a
        service that was. Returns when the core is Healthy; raises AssertionError."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while why := self._missing():
            assert time.monotonic() < deadline, f"no operator can bring it back: {why}"
            time.sleep(0.02)

    def _missing(self) -> str:
        """What is not there, after something was done about it; empty when nothing is missing."""
        state = self.hand.run("systemctl", "is-active", "strata-supervisor.service").stdout.strip()
        if state in ("inactive", "failed", "unknown"):
            self.systemctl("reset-failed", "strata-supervisor.service")
            self.node.ctl("up", "--timeout=30s")
            return "the supervisor"
        try:
            sockets = self.units("strata-*.socket")
            for row in self.rows().values():
                self._help(row, sockets.get(f"{row['unit'].removesuffix('.service')}.socket", "active"))
            fresh = self.rows()
            missing = [name for name in CORE if fresh[name]["state"] != "Healthy"]
            return ", ".join(missing) or ("" if self.node.registered() >= REGISTERED else "registrations")
        except (StrataError, OSError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"

    def _help(self, row: dict[str, Any], socket: str) -> None:
        name, state = row["name"], row["state"]
        wished = declared.STATES.get(name, "Healthy")
        if name in declared.MAY_BE_STOPPED or state in ("Starting", "Restarting", "Crashed"):
            return
        if state == "Healthy" and socket != "active":  # somebody closed its socket
            self.call("supervisor.svc.stop", {"name": name})
            self.call("supervisor.svc.start", {"name": name})
        elif state != wished and not (name == declared.ON_DEMAND and state == "Declared"):
            with contextlib.suppress(Unavailable):  # it says so when it did not become Healthy
                self.call("supervisor.svc.start", {"name": name})

    def forgive(self) -> None:
        """Forget crashes, so that those of one step do not count in the next (the start limit is a promise too, which
        a service of its own is for)."""
        self.systemctl("reset-failed", "strata-supervisor.service", "systemd-journald.service")
        for name in self.rows():
            if name != declared.LOOPER:
                with contextlib.suppress(StrataError):
                    self.call("supervisor.svc.reset", {"name": name})

    def units(self, *patterns: str) -> dict[str, str]:
        """Loaded units that match → their ActiveState."""
        shown = self.systemctl("list-units", "--all", "--no-legend", "--plain", "--full", *patterns)
        words = [line.split() for line in shown.splitlines()]
        return {word[0]: word[2] for word in words if len(word) > 3 and word[1] == "loaded"}


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A world that is up, with declared services; ended and looked over when the context is left."""
    sweep()
    with contextlib.ExitStack() as stack:
        paths = stack.enter_context(machine.directories())
        for path, size in ((paths.runtime_dir, RUN_SIZE), (paths.state_dir, STATE_SIZE)):
            stack.enter_context(_disk(path, size))
        files = Path(tempfile.mkdtemp(prefix=f"{MARK}-", dir="/tmp"))
        stack.callback(shutil.rmtree, files)
        found = _up(paths, files, stack)
        declared.write_all(paths)  # only now: `up` would wait in vain for the one that is Quarantined
        found.call("supervisor.svc.reload", {"apply": True})
        until(lambda: declared.arrived(found), "all declared services are as they should be", SETTLE_SECONDS)
        yield found


def _up(paths: Paths, files: Path, stack: contextlib.ExitStack) -> World:
    node = Node(Manager("", "embedded", 0, paths, None))
    up = node.ctl("up", "--mode=embedded")
    stack.callback(_down, node, paths)
    assert up.returncode == 0, up.stderr
    embedded = boot.find(paths)
    assert embedded
    node = Node(Manager(embedded.bus_address, "embedded", embedded.version, paths, embedded), node.address)
    return World(paths, node, stack.enter_context(Hand.of(node)), files)


def _down(node: Node, paths: Paths) -> None:
    down = node.ctl("down")
    boot.clean(paths)
    assert down.returncode == 0, down.stderr


@contextlib.contextmanager
def _disk(path: Path, size: str) -> Iterator[None]:
    path.mkdir(mode=0o755, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", MARK, path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def sweep() -> None:
    """End what a walk that was killed could not."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        source, target, *_ = line.split()
        top = Path(target).parent
        pid = top.name.removeprefix("strata-test-").partition("-")[0]
        if source == MARK and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            boot.clean(Paths(top / "run", top / "state", top / "etc"), timeout=5)
            _libc.umount2(os.fsencode(target), _MNT_DETACH)
    with contextlib.suppress(FileNotFoundError):  # somebody else sweeps just now
        machine.remove_orphans()

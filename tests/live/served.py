# SPDX-License-Identifier: MIT
"""A Strata of its own, as `strata run` serves it with settings from the environment, on a systemd of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import machine
from machine import Manager
from node import Node, until
from visitor import Visitor

from strata.embedded import boot
from strata.paths import Paths

STRATA = Path(sys.executable).with_name("strata")
PROGRAMS = ("bash", "cat", "env", "ls", "mkdir", "rm", "sleep", "stat", "touch")
MOST = 3
TTL_SECONDS = 5.0
# The names that the predecessor's library falls back to (spec 2.2): heeding any of them would show.
BARE = {"ADDR": "127.0.0.1:1", "MAX_SESSIONS": "0", "SESSION_TTL": "abc", "OVERLAY_DRIVER": "none", "BASE_ROOTFS": "/"}


class Served:
    """`strata run`. It may be ended and started again; `root` is its session root, `base` its base tree."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.root = paths.state_dir / "scratch/sessions"
        self.base = base_tree(paths.state_dir / "base")
        self.process: subprocess.Popen[bytes] | None = None
        self.errors = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115  closed by `end`

    @property
    def settings(self) -> dict[str, str]:
        """The variables of spec 2.2, every one another than its default."""
        return {
            "STRATA_SERVER_ADDR": self.address,
            "STRATA_SANDBOX_BASE_ROOTFS": str(self.base),
            "STRATA_SANDBOX_SESSION_ROOT": str(self.root),
            "STRATA_SANDBOX_SESSION_TTL": f"{TTL_SECONDS:g}s",
            "STRATA_SANDBOX_MAX_SESSIONS": str(MOST),
            "STRATA_SANDBOX_ISOLATE_NETWORK": "false",
            "STRATA_SANDBOX_OVERLAY_DRIVER": "kernel",
        }

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")}
        return kept | BARE | self.paths.environment() | self.settings

    @property
    def address(self) -> str:
        return self.manager.api

    @property
    def manager(self) -> Manager:
        """The systemd that it runs on now."""
        embedded = boot.find(self.paths)
        address, version = (embedded.bus_address, embedded.version) if embedded else ("", 0)
        return Manager(address, "embedded", version, self.paths, embedded)

    @property
    def node(self) -> Node:
        return Node(self.manager, self.address)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def visitor(self, owner: str = "u", session: str = "s") -> Visitor:
        """Nobody needs a token here."""
        return Visitor(self.address, owner, session=session)

    def start(self) -> None:
        """Returns when it serves."""
        self.errors.truncate(0)
        self.process = subprocess.Popen(
            [STRATA, "run", "--mode=embedded", "--insecure-no-auth"],
            env=self.environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
        )
        until(lambda: "serving sandboxes on" in self.said or not self.running, "strata run has begun", 60.0)
        assert self.running, self.said

    @property
    def said(self) -> str:
        return Path(self.errors.name).read_text()

    def terminate(self) -> int:
        """SIGTERM, as an init system or Ctrl-C ends it; its exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL to everything at once: the private systemd takes all that runs on it with it."""
        assert self.process
        embedded = self.manager.embedded
        assert embedded
        self.process.kill()
        os.kill(embedded.pid, signal.SIGKILL)
        self.process.wait(60)
        until(lambda: not embedded.alive(), "the private systemd is gone")

    def close_all(self) -> None:
        for one in self.node.call("sandbox.list")["sessions"]:
            reply = self.node.ask("sandbox.close", {"owner": one["owner"], "session": one["session"]})
            # Its idle time may have ended it just now: then it is gone as it should be.
            assert reply["ok"] or reply["error"]["name"] == "NOT_FOUND", reply

    def end(self) -> None:
        try:
            if self.running:
                code = self.terminate()
                assert code == 0, self.said
        finally:
            boot.clean(self.paths)
            self.errors.close()


def base_tree(top: Path) -> Path:
    """A root tree: a shell, a few programs and what they load, and a file of its own."""
    (top / "usr/bin").mkdir(parents=True)
    (top / "bin").symlink_to("usr/bin")
    (top / "etc").mkdir()
    (top / "etc/base-release").write_text("the base\n")
    for program in PROGRAMS:
        needed = subprocess.run(["ldd", f"/usr/bin/{program}"], capture_output=True, text=True, check=True).stdout
        for path in (f"/usr/bin/{program}", *(word for word in needed.split() if word.startswith("/"))):
            target = top / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(Path(path).read_bytes())
            target.chmod(0o755)
    (top / "usr/bin/sh").symlink_to("bash")
    return top


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """It runs on a systemd of its own, wherever the tests do."""
    machine.remove_orphans()
    with machine.directories() as paths:
        found = Served(paths)
        try:
            found.start()
            yield found
        finally:
            found.end()


def refused(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`strata run` that does not get so far as to serve."""
    return subprocess.run(
        [STRATA, "run", *arguments], env=environment, cwd="/", capture_output=True, text=True, timeout=30, check=False
    )

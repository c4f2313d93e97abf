# SPDX-License-Identifier: MIT
"""A running Strata as the supervisor's tests see it: calls, states, signals, and manifests that are taken back."""

from __future__ import annotations

import subprocess
import textwrap
import time
from collections.abc import Callable
from typing import Any

from node import Node

from strata.sockets.client import Client


class Services:
    """Short words for what the tests do over and over."""

    def __init__(self, strata: Node) -> None:
        self._strata = strata
        self.paths = strata.manager.paths
        self._written: list[str] = []

    def call(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """Result of a call; raises its StrataError."""
        with Client(self.paths.socket(method.partition(".")[0]), timeout=60) as client:
            return client.call(method, params)

    def rows(self) -> list[dict[str, Any]]:
        """supervisor.svc.list."""
        found: list[dict[str, Any]] = self.call("supervisor.svc.list")["services"]
        return found

    def row(self, name: str) -> dict[str, Any]:
        """One row of it."""
        return next(row for row in self.rows() if row["name"] == name)

    def state(self, name: str) -> str:
        """State of a service."""
        return str(self.row(name)["state"])

    def pid(self, name: str) -> int:
        """Main process of a service, as its systemd sees it."""
        return int(self.row(name)["pid"])

    def events(self) -> list[dict[str, Any]]:
        """All events that are still kept."""
        with Client(self.paths.socket("supervisor"), timeout=30) as client:
            return list(client.stream("supervisor.events", {"follow": False}))

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """A program beside that systemd."""
        return self._strata.manager.run(list(argv))

    def journal(self, *fields: str) -> list[dict[str, object]]:
        """Journal records that match."""
        return self._strata.manager.journal(*fields)

    def active_state(self, unit: str) -> str:
        """ActiveState of a unit."""
        return self.run("systemctl", "show", "-P", "ActiveState", unit).stdout.strip()

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal to a service's main process, behind everyone's back."""
        # The shell's own `kill`: a small machine has no other (procps).
        done = self.run("sh", "-c", 'kill -s "$1" "$2"', "kill", signal, str(self.pid(name)))
        assert done.returncode == 0, done.stderr

    def kill_unit(self, unit: str) -> None:
        """SIGKILL to a unit's main process."""
        self.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit)

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition; fails after `seconds`."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.rows()}"
            time.sleep(0.02)

    def until_healthy(self, name: str, seconds: float) -> None:
        """Wait until a service is Healthy."""
        self.until(lambda: self.state(name) == "Healthy", seconds)

    def write(self, name: str, manifest: str) -> None:
        """Put a manifest into services.d, for this test only."""
        self._written.append(name)
        (self.paths.services_d / f"{name}.toml").write_text(textwrap.dedent(manifest))

    def declare(self, name: str, manifest: str) -> None:
        """Write a manifest and have it applied."""
        self.write(name, manifest)
        answer = self.call("supervisor.svc.reload", {"apply": True})
        assert not answer["problems"], answer

    def up(self) -> None:
        """Bring Strata up again after a test has ended it."""
        up = self._strata.ctl("up")
        assert up.returncode == 0, up.stderr

    def take_back(self) -> None:
        """Remove what the test declared."""
        for name in self._written:
            (self.paths.services_d / f"{name}.toml").unlink(missing_ok=True)
        if self._written:
            self.call("supervisor.svc.reload", {"apply": True})

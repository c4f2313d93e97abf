# SPDX-License-Identifier: MIT
"""The Strata that is measured: one that runs already, or one booted for the run and taken down after it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from strata import config
from strata.paths import Paths
from strata.sockets.client import Client

CTL = (sys.executable, "-c", "import sys; from strata.cli.main import main; sys.exit(main())")
"""strata-ctl with this very interpreter."""

SETTINGS = """\
[api]
address = "{door}"

[sandbox]
max_sessions = 1000
lifetime = "6h"
"""
"""Of a Strata that is booted for the run: room for the figures that take many sessions, and a port of its own."""


class Place(NamedTuple):
    """Where it runs: its directories, its mode (system, user, embedded), and a directory for the run's own files."""

    paths: Paths
    mode: str
    scratch: Path
    door: str  # HOST:PORT of HTTP

    def environment(self) -> dict[str, str]:
        """Of a program that is to find it."""
        return {**os.environ, **self.paths.environment()}

    def ctl(self, *arguments: str) -> str:
        """What strata-ctl prints. Raises RuntimeError with what it said when it fails."""
        return _said([*CTL, *arguments], self.environment())

    def beside(self, *argv: str) -> str:
        """What a program prints that runs beside the systemd which runs Strata."""
        if self.mode == "embedded":
            return self.ctl("embedded", "run", "--", *argv)
        return _said(list(argv), self.environment())

    def systemctl(self, *arguments: str) -> str:
        return self.beside("systemctl", *(["--user"] if self.mode == "user" else []), *arguments)

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as systemctl prints it."""
        return self.systemctl("show", "--property", name, "--value", unit).strip()

    def call(self, service: str, method: str, params: Any = None, token: str = "") -> Any:
        """The result of one call. Raises StrataError."""
        with Client(self.paths.socket(service), timeout=10) as client:
            return client.call(method, params, token)

    def states(self) -> dict[str, str]:
        """State of every service, by name."""
        rows = self.call("supervisor", "supervisor.svc.list")["services"]
        return {row["name"]: row["state"] for row in rows}


def _said(argv: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(
            f"cannot run {' '.join(argv)}: exit code {done.returncode}: {(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


@contextlib.contextmanager
def given(runtime_dir: Path) -> Iterator[Place]:
    """A Strata that runs already; it is left as it was, but for a few restarts."""
    paths = Paths.from_env()._replace(runtime_dir=runtime_dir)
    with _scratch() as scratch:
        yield _place(paths, scratch, dict(os.environ))


@contextlib.contextmanager
def booted() -> Iterator[Place]:
    """A Strata of the run's own. Below /run: PrivateTmp= would hide a runtime directory in /tmp from its services."""
    top = Path(tempfile.mkdtemp(prefix="strata-bench-", dir="/run" if os.geteuid() == 0 else None))
    top.chmod(0o755)
    # On a disk, as state is: a session's files are there, and a tmpfs would flatter what is done with them.
    state = Path(tempfile.mkdtemp(prefix="strata-bench-", dir="/var/lib" if os.geteuid() == 0 else None))
    state.chmod(0o755)
    paths = Paths(top / "run", state, top / "etc")
    _configure(paths)
    env = {**_without_settings(), **paths.environment()}
    try:
        print("starting a Strata for this run …", file=sys.stderr)
        _said([*CTL, "up"], env)
        with _scratch() as scratch:
            yield _place(paths, scratch, env)
    finally:
        _said([*CTL, "down"], env)
        shutil.rmtree(top)
        shutil.rmtree(state)


def _configure(paths: Paths) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    paths.config_dir.mkdir()
    (paths.config_dir / config.FILE_NAME).write_text(SETTINGS.format(door=address))


def _without_settings() -> dict[str, str]:
    """Our environment, but for what would override the settings of the run."""
    return {name: value for name, value in os.environ.items() if name not in config.VARIABLES}


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="strata-bench-", dir="/var/tmp") as name:  # fs must see it; not PrivateTmp
        Path(name).chmod(0o755)
        yield Path(name)


def _place(paths: Paths, scratch: Path, env: dict[str, str]) -> Place:
    with Client(paths.socket("supervisor"), timeout=10) as client:
        mode = client.call("supervisor.status")["mode"]
    return Place(paths, mode, scratch, config.load(paths, env).api.address)


def pretty(value: Any) -> str:
    """JSON for a person."""
    return json.dumps(value, indent=2, ensure_ascii=False)

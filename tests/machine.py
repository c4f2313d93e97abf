# SPDX-License-Identifier: MIT
"""The systemd that live tests run on: the machine's own where PID 1 is one, a private one elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from strata import config
from strata.embedded import boot
from strata.errors import Unavailable
from strata.paths import Paths

_PREFIX = "strata-test-"


@dataclass(frozen=True)
class Manager:
    """A system manager that answers on `bus_address`, and directories of its own for what is tested on it."""

    bus_address: str
    mode: str
    version: int
    paths: Paths
    embedded: boot.Embedded | None

    def run(
        self, argv: Sequence[str], *, input: str = "", env: Mapping[str, str] | None = None, cwd: str = "/"
    ) -> subprocess.CompletedProcess[str]:
        """Run a program beside that systemd and collect its output, as subprocess.run does."""
        if self.embedded is None:
            return subprocess.run(argv, input=input, env=env, cwd=cwd, capture_output=True, text=True, check=False)
        with (
            tempfile.TemporaryFile("w+") as given,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
        ):
            given.write(input)
            given.seek(0)
            code = boot.run(self.embedded, argv, stdin=given, stdout=out, stderr=err, env=env, cwd=cwd)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(argv, code, out.read(), err.read())

    @property
    def api(self) -> str:
        """HOST:PORT of the api door of a Strata in these directories."""
        settings = config.load(self.paths, {})
        return settings.api.address

    def journal(self, *fields: str) -> list[dict[str, object]]:
        """The journal's records that match, e.g. `STRATA_EVENT=svc.start`, oldest first."""
        self.run(["journalctl", "--sync"])
        answer = self.run(["journalctl", "--quiet", "--no-pager", "--output=json", "--all", *fields])
        assert answer.returncode == 0, answer.stderr
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def journal_tail(self) -> str:
        """The last lines of Strata's units, for a person who looks at a failed test."""
        argv = ["journalctl", "--quiet", "--no-pager", "--lines=60", "--unit=strata*", "--unit=init.scope"]
        try:
            return self.run(argv).stdout
        except Unavailable as error:
            return str(error)


def is_systemd() -> bool:
    """Whether this machine's PID 1 is systemd (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system") and Path("/proc/1/comm").read_text().strip() == "systemd"


def _free_port() -> int:
    """A TCP port of loopback on which nobody listens now: several Stratas run on one machine during tests."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def directories() -> Iterator[Paths]:
    """Directories of a session's own. Below /run, because PrivateTmp= hides all that lies in /tmp from services."""
    top = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir="/run"))
    top.chmod(0o755)
    try:
        paths = Paths(top / "run", top / "state", top / "etc")
        paths.services_d.mkdir(parents=True)
        (paths.config_dir / "strata.toml").write_text(f'[api]\naddress = "127.0.0.1:{_free_port()}"\n')
        yield paths
    finally:
        shutil.rmtree(top)


@contextlib.contextmanager
def machines_own() -> Iterator[Manager]:
    """The systemd that this machine was booted with."""
    said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"\d+", said)
    assert number, said
    with directories() as paths:
        yield Manager("unix:path=/run/systemd/private", "system", int(number[0]), paths, None)


@contextlib.contextmanager
def private(root: Path | None = None, binds: Sequence[Path] = ()) -> Iterator[Manager]:
    """A private systemd for as long as the context lasts, checked to leave nothing behind."""
    remove_orphans()
    with directories() as paths:
        embedded = boot.boot(paths, root=root, binds=binds)
        try:
            yield Manager(embedded.bus_address, "embedded", embedded.version, paths, embedded)
        finally:
            boot.stop(embedded)
        left = [str(path) for path in (*embedded.cgroups, *paths.runtime_dir.glob("embedded*")) if path.exists()]
        assert not embedded.alive(), "the private systemd outlived its stop"
        assert not left, f"the private systemd left {left}"


def remove_orphans() -> None:
    """End what test sessions that were killed could not."""
    for top in Path("/run").glob(f"{_PREFIX}*"):
        pid = top.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            boot.clean(Paths(top / "run", top / "state", top / "etc"), timeout=5)
            shutil.rmtree(top, ignore_errors=True)

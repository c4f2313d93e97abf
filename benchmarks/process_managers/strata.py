# SPDX-License-Identifier: MIT
"""Strata's own supervisor, with manifests in services.d and calls on its socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet import Fleet
from benchmarks.place import Place
from benchmarks.process_managers.contract import Answer, children, parent
from benchmarks.wire import Line, request
from strata import __version__
from strata.errors import StrataError
from strata.sockets.client import Client

PREFIX, PATIENCE = "bench-", 120.0
_MANIFEST = """\
command = {command}

[restart]
backoff = "1ms"
backoff_max = "1ms"
crashes = 1000
"""


class Strata:
    """The one of the place; services that others have declared there stay as they are."""

    name, version = "strata", __version__
    delay, asked = "RestartSec=1ms", "a call on its socket"

    def __init__(self, place: Place, fleet: Fleet, _directory: Path) -> None:
        self._place, self._fleet = place, fleet
        self._client = Client(place.paths.socket("supervisor"), timeout=PATIENCE)
        self._line = Line(place.paths.socket("supervisor"))

    def declare(self, names: Sequence[str]) -> None:
        """Write their manifests, and have those who are gone stopped."""
        directory = self._place.paths.services_d
        directory.mkdir(mode=0o755, exist_ok=True)
        wanted = {directory / f"{PREFIX}{name}.toml": name for name in names}
        for file in directory.glob(f"{PREFIX}*.toml"):
            if file not in wanted:
                file.unlink()
        for file, name in wanted.items():
            if not file.exists():
                file.write_text(_MANIFEST.format(command=json.dumps(self._fleet.command(name))))
                file.chmod(0o644)
        answer = self._client.call("supervisor.svc.reload", {"apply": True})
        if problems := [one for one in answer["problems"] if PREFIX in one]:
            raise RuntimeError(f"cannot measure: {problems[0]}")

    def start(self, name: str) -> Answer:
        """Answered when it is Healthy."""
        self._line.sock.sendall(request("supervisor.svc.start", {"name": PREFIX + name}))
        return self._answered

    def stop(self, name: str) -> None:
        """Answered when it is gone."""
        self._client.call("supervisor.svc.stop", {"name": PREFIX + name})

    def managers(self) -> list[int]:
        """The supervisor, its gateway, and the systemd that does the work for it."""
        supervisor = self._supervisor()
        return [supervisor, *children(supervisor), parent(supervisor)]

    def list(self) -> list[dict[str, object]]:
        """What it says of all services."""
        rows: list[dict[str, object]] = self._client.call("supervisor.svc.list")["services"]
        return rows

    def describe(self, name: str) -> None:
        """All that it says of one."""
        self._client.call("supervisor.svc.describe", {"name": PREFIX + name})

    def close(self) -> None:
        with contextlib.suppress(StrataError, OSError):  # it may be what has just failed
            self.declare([])
        self._client.close()
        self._line.close()

    def _answered(self) -> None:
        said = json.loads(self._line.round_trip(b""))  # the request is on its way already
        if not said.get("ok"):
            raise RuntimeError(f"cannot measure: {said.get('error')}")

    def _supervisor(self) -> int:
        lock = str(self._place.paths.supervisor_lock)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _holds(entry, lock):
                return int(entry.name)
        raise RuntimeError("cannot measure: no process holds the supervisor's lock")


def _holds(process: Path, file: str) -> bool:
    with contextlib.suppress(OSError):  # it has just ended
        if b"strata.supervisor.main" in (process / "cmdline").read_bytes():
            return any(str(fd.readlink()) == file for fd in (process / "fd").iterdir())
    return False

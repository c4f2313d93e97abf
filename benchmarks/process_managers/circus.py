# SPDX-License-Identifier: MIT
"""circus, asked by its own client library in a process of its own that stays connected."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fleet import Fleet, until
from benchmarks.place import Place
from benchmarks.process_managers.contract import CACHE, Answer, Missing, program

CHECK_SECONDS = 0.05
"""How often it looks whether a process has ended: it is not told. Any number will do; it is 5 s by default."""

_CONFIG = """\
[circus]
endpoint = ipc://{directory}/asked
pubsub_endpoint = ipc://{directory}/told
statsd = false
check_delay = {check}
warmup_delay = 0
"""
_SERVICE = """
[watcher:{name}]
cmd = {command}
max_retry = -1
warmup_delay = 0
"""
_CLIENT = """
import json, sys
from circus.client import CircusClient
client = CircusClient(endpoint=sys.argv[1], timeout=30)
for line in sys.stdin:
    print(json.dumps(client.call(json.loads(line))), flush=True)
"""


class Circus:
    """A new one for each set of services."""

    name, asked = "circus", "its own client, connected already"
    delay = f"check_delay={CHECK_SECONDS}: it looks every {1e3 * CHECK_SECONDS:g} ms (5 s by default)"

    def __init__(self, _place: Place, fleet: Fleet, directory: Path) -> None:
        self._program = program("circusd", CACHE / "python" / "bin")
        self._python = self._program.with_name("python")
        if not self._python.exists():
            raise Missing(f"there is no Python beside {self._program} to load circus' client with")
        said = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True)
        self.version = said.stdout.strip()
        self._fleet, self._directory = fleet, directory
        self._process: subprocess.Popen[bytes] | None = None
        self._client: subprocess.Popen[str] | None = None

    def declare(self, names: Sequence[str]) -> None:
        """By its configuration."""
        self.close()
        config = self._directory / "circus.ini"
        services = (_SERVICE.format(name=name, command=shlex.join(self._fleet.command(name))) for name in names)
        config.write_text(_CONFIG.format(directory=self._directory, check=CHECK_SECONDS) + "".join(services))
        words = [self._program, "--log-output", "/dev/null", config]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until((self._directory / "asked").exists, "circus listens")
        self._client = subprocess.Popen(
            [self._python, "-c", _CLIENT, f"ipc://{self._directory}/asked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask({"command": "status", "properties": {}})()

    def start(self, name: str) -> Answer:
        """Answered when it has been forked."""
        return self._ask({"command": "start", "properties": {"name": name, "waiting": True}})

    def stop(self, name: str) -> None:
        """Answered when it has been reaped."""
        self._ask({"command": "stop", "properties": {"name": name, "waiting": True}})()

    def managers(self) -> list[int]:
        """One process."""
        assert self._process
        return [self._process.pid]

    def close(self) -> None:
        if self._client:
            self._client.communicate()
            self._client = None
        if self._process:
            self._process.terminate()  # it ends its services first
            self._process.wait(60)
            self._process = None
        for name in ("asked", "told"):
            (self._directory / name).unlink(missing_ok=True)

    def _ask(self, asked: Mapping[str, Any]) -> Answer:
        assert self._client
        assert self._client.stdin
        self._client.stdin.write(json.dumps(asked) + "\n")
        self._client.stdin.flush()
        return self._answer

    def _answer(self) -> None:
        assert self._client
        assert self._client.stdout
        said = json.loads(self._client.stdout.readline())
        if said.get("status") == "error":
            raise RuntimeError(f"cannot measure: {said.get('reason')}")

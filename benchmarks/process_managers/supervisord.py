# SPDX-License-Identifier: MIT
"""supervisord, asked by XML-RPC over its unix socket, as supervisorctl does."""

from __future__ import annotations

import http.client
import shlex
import socket
import subprocess
import xmlrpc.client
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet import Fleet, until
from benchmarks.place import Place
from benchmarks.process_managers.contract import CACHE, Answer, program

_CONFIG = """\
[supervisord]
nodaemon = true
logfile = /dev/null
logfile_maxbytes = 0
pidfile = {directory}/pid
childlogdir = {directory}

[unix_http_server]
file = {directory}/sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
# A service that is gone at once is started again at once, for ever; nobody reads what it prints.
_SERVICE = """
[program:{name}]
command = {command}
autorestart = true
startsecs = 0
stdout_logfile = NONE
stderr_logfile = NONE
"""


class Supervisord:
    """A new one for each set of services."""

    name, delay, asked = "supervisord", "startsecs=0; its loop looks once a second", "XML-RPC on its unix socket"

    def __init__(self, _place: Place, fleet: Fleet, directory: Path) -> None:
        self._program = program("supervisord", CACHE / "python" / "bin")
        said = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True)
        self.version = said.stdout.strip()
        self._fleet, self._directory = fleet, directory
        self._process: subprocess.Popen[bytes] | None = None

    def declare(self, names: Sequence[str]) -> None:
        """By its configuration."""
        self.close()
        config = self._directory / "supervisord.conf"
        services = (_SERVICE.format(name=name, command=shlex.join(self._fleet.command(name))) for name in names)
        config.write_text(_CONFIG.format(directory=self._directory) + "".join(services))
        self._process = subprocess.Popen([self._program, "-c", config], stdout=subprocess.DEVNULL)
        until((self._directory / "sock").exists, "supervisord listens")

    def start(self, name: str) -> Answer:
        """Answered when it has been forked."""
        connection = _Connection(self._directory / "sock")
        connection.request("POST", "/RPC2", xmlrpc.client.dumps((name, False), "supervisor.startProcess"))
        return lambda: _answer(connection)

    def stop(self, name: str) -> None:
        """Answered when it has been reaped."""
        connection = _Connection(self._directory / "sock")
        connection.request("POST", "/RPC2", xmlrpc.client.dumps((name, True), "supervisor.stopProcess"))
        _answer(connection)

    def managers(self) -> list[int]:
        """One process."""
        assert self._process
        return [self._process.pid]

    def close(self) -> None:
        if self._process:
            self._process.terminate()  # it ends its services first
            self._process.wait(60)
            self._process = None


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def _answer(connection: _Connection) -> None:
    """Raises xmlrpc.client.Fault."""
    xmlrpc.client.loads(connection.getresponse().read())
    connection.close()

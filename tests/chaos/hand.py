# SPDX-License-Identifier: MIT
"""A hand inside the world: one process beside its systemd that runs programs when it is told to.

Entering the namespaces anew for each program would fork a process that has threads; and it takes longer.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

from node import CTL, Node

SECONDS = 60
_INSIDE = """
import json, subprocess, sys
for line in sys.stdin:
    argv, seconds = json.loads(line)
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=seconds)
        said = [done.returncode, done.stdout, done.stderr]
    except (OSError, subprocess.TimeoutExpired) as error:
        said = [124, "", str(error)]
    print(json.dumps(said), flush=True)
"""


class Said(NamedTuple):
    """How a program ended and what it printed."""

    code: int
    stdout: str
    stderr: str


class Hand:
    """Use from any thread; one program at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process, self._turn = process, threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def of(cls, node: Node) -> Iterator[Hand]:
        """Until the context is left."""
        argv: list[Any] = [CTL, "embedded", "run", "--", sys.executable, "-I", "-S", "-c", _INSIDE]
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, env=node.environment, cwd="/", stdin=pipe, stdout=pipe, text=True, bufsize=1)
        try:
            yield cls(process)
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=SECONDS)

    def run(self, *argv: str, seconds: float = SECONDS) -> Said:
        """Run a program; 124 says that it took longer than `seconds`."""
        assert self._process.stdin
        assert self._process.stdout
        with self._turn:
            self._process.stdin.write(json.dumps([argv, seconds]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        assert line, "the systemd of this world is gone"
        return Said(*json.loads(line))

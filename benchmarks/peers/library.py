# SPDX-License-Identifier: MIT
"""Peers that are libraries of Python: each in an interpreter of its own (adapter.py), which is asked by a pipe."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from benchmarks.peers import started, tools
from benchmarks.peers.contract import Box, Sandbox, Tools

_ADAPTER = Path(__file__).with_name("adapter.py")
_NUMBERS = itertools.count()


class Interpreter:
    """One that has the library, for all sandboxes of it."""

    def __init__(self, tools_: Tools, library: str) -> None:
        env = tools.environment(tools_)
        with (tools_.scratch / f"{library}.errors").open("wb") as errors:
            self._process = subprocess.Popen(
                [python(tools_), "-P", str(_ADAPTER), library],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
            )
        started.PIDS.add(self._process.pid)
        self._waiting: dict[int, Future[None]] = {}
        self._writing = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, what: str, name: str, *given: Any, seconds: float = started.PATIENCE_SECONDS) -> None:
        """Have something done. Raises RuntimeError with what went wrong, and TimeoutError."""
        number, future = next(_NUMBERS), Future[None]()
        self._waiting[number] = future
        request = json.dumps({"number": number, "do": what, "name": name, "with": given})
        with self._writing:
            os.write(self._process.stdin.fileno(), request.encode() + b"\n")  # type: ignore[union-attr]
        future.result(seconds)

    def _read(self) -> None:
        for line in self._process.stdout:  # type: ignore[union-attr]
            said = json.loads(line)
            future = self._waiting.pop(said["number"])
            if said["failure"]:
                future.set_exception(RuntimeError(said["failure"]))
            else:
                future.set_result(None)
        for future in self._waiting.values():
            future.set_exception(RuntimeError("the library's interpreter has ended"))

    def end(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.kill()
        self._process.wait()
        started.PIDS.discard(self._process.pid)


class Remote:
    """A sandbox of a library, open."""

    def __init__(self, interpreter: Interpreter, name: str) -> None:
        self._interpreter, self._name = interpreter, name
        interpreter.ask("open", name)

    def execute(self) -> None:
        self._interpreter.ask("execute", self._name)

    def line(self) -> None:
        self._interpreter.ask("line", self._name)

    def start_children(self, count: int) -> None:
        self._interpreter.ask("children", self._name, count)

    def bulk(self, size: int) -> None:
        self._interpreter.ask("bulk", self._name, size)

    def close(self) -> None:
        self._interpreter.ask("close", self._name)


@functools.cache
def interpreter(tools_key: tuple[Path, Path], library: str) -> Interpreter:
    """The one of this library, started when it is first asked for."""
    peers, scratch = tools_key
    return Interpreter(Tools(peers, scratch, {}), library)


def opener(library: str) -> Callable[[Box], Sandbox]:
    """How a peer of this library opens a sandbox."""
    return lambda box: Remote(interpreter((box.tools.peers, box.tools.scratch), library), box.name)


def around(library: str) -> Callable[[Tools], AbstractContextManager[None]]:
    """Its interpreter, from before the first sandbox until after the last."""

    @contextlib.contextmanager
    def here(tools_: Tools) -> Iterator[None]:
        one = interpreter((tools_.peers, tools_.scratch), library)
        try:
            yield
        finally:
            one.end()

    return here


def python(tools_: Tools) -> str:
    """The interpreter of the environment that scripts/bench-peers makes."""
    return str(tools_.peers / "python/bin/python")


def missing(distribution: str, *programs: str, root: bool = False) -> Callable[[Tools], str]:
    """Says why a library cannot be used."""

    def ask(tools_: Tools) -> str:
        if not os.access(python(tools_), os.X_OK) or not version(distribution)(tools_):
            return "not installed: scripts/bench-peers fetches it from PyPI"
        return tools.lacking(*programs, root=root)(tools_)

    return ask


def version(distribution: str) -> Callable[[Tools], str]:
    """Of an installed distribution; "" when it is not there."""
    code = f"from importlib.metadata import version; print(version({distribution!r}))"
    return lambda tools_: subprocess.run(
        [python(tools_), "-c", code], capture_output=True, text=True, check=False
    ).stdout.strip()

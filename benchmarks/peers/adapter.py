# SPDX-License-Identifier: MIT
"""Drives a sandbox library of Python in an interpreter of its own: `python adapter.py LIBRARY`, requests and answers
as lines of JSON. Run by its path, with that library and the standard one alone."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SHELL = ["/bin/bash", "--noprofile", "--norc"]
MEMORY, TASKS = "1G", 512
_CHILDREN = "for i in $(seq {count}); do sleep 1000 </dev/null >/dev/null 2>&1 & done; echo started\n"
_OPEN: dict[str, Any] = {}
_WRITING = threading.Lock()


class Sandlock:
    """A shell that waits, by popen(); commands by run() in another sandbox of the same rules."""

    def __init__(self) -> None:
        from sandlock import StdioMode  # type: ignore[import-not-found]

        self._scratch, self._piped = tempfile.TemporaryDirectory(prefix="strata-peer-"), StdioMode.PIPED
        self._shell = self._make().popen(SHELL, stdin=self._piped, stdout=self._piped, stderr=StdioMode.NULL)
        self.line("ready")

    def line(self, word: str = "hello") -> None:
        self._ask(f"echo {word}\n", word)

    def execute(self) -> None:
        result = self._make().run(["/bin/bash", "-c", "echo hello"])
        if result.stdout != b"hello\n":
            raise RuntimeError(f"run() answered {result}")

    def children(self, count: int) -> None:
        self._ask(_CHILDREN.format(count=count), "started")

    def bulk(self, size: int) -> None:
        program = self._make().popen(_writer(size), stdout=self._piped)
        got = 0
        while piece := os.read(program.stdout.fileno(), 1_048_576):
            got += len(piece)
        program.wait()
        if got != size:
            raise RuntimeError(f"{got} bytes came instead of {size}")

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        self._scratch.cleanup()

    def _make(self) -> Any:
        from sandlock import Sandbox

        return Sandbox(
            fs_readable=["/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/dev"],
            fs_writable=[self._scratch.name, "/dev/null"],
            max_memory=MEMORY,
            max_processes=TASKS,
        )

    def _ask(self, line: str, answer: str) -> None:
        self._shell.stdin.write(line.encode())
        self._shell.stdin.flush()
        if (said := self._shell.stdout.readline()) != f"{answer}\n".encode():
            raise RuntimeError(f"the shell answered {said!r}")


class Deepagents:
    """A workspace that stays, and a new bubblewrap for each command."""

    def __init__(self) -> None:
        from deepagents_sandbox import NativeSandbox, SandboxConfig  # type: ignore[import-not-found]

        self._sandbox = NativeSandbox(SandboxConfig(max_output_bytes=256 * 1024 * 1024))
        asyncio.run(self._sandbox.__aenter__())
        self.execute()

    def execute(self) -> None:
        self._run("echo hello", "hello\n")

    def bulk(self, size: int) -> None:
        result = asyncio.run(self._sandbox.execute(" ".join(_writer(size))))
        if len(result.stdout) != size:
            raise RuntimeError(f"{len(result.stdout)} bytes came instead of {size}")

    def close(self) -> None:
        asyncio.run(self._sandbox.__aexit__(None, None, None))

    def _run(self, command: str, wanted: str) -> None:
        result = asyncio.run(self._sandbox.execute(command))
        if result.stdout != wanted:
            raise RuntimeError(f"execute() answered {result}")


LIBRARIES: dict[str, Callable[[], Any]] = {"sandlock": Sandlock, "deepagents": Deepagents}


def _writer(size: int) -> list[str]:
    return ["/usr/bin/dd", "if=/dev/zero", "bs=65536", f"count={size // 65536}", "status=none"]


def answer(library: str, request: dict[str, Any]) -> None:
    """Do what is asked and say how it went."""
    failure = ""
    try:
        name, what = request["name"], request["do"]
        if what == "open":
            _OPEN[name] = LIBRARIES[library]()
        elif what == "close":
            _OPEN.pop(name).close()
        else:
            getattr(_OPEN[name], what)(*request["with"])
    except Exception as error:  # noqa: BLE001  whatever the library raises is told to who asked
        failure = f"{type(error).__name__}: {error}"[:600]
    with _WRITING:
        print(json.dumps({"number": request["number"], "failure": failure}), flush=True)


def main(library: str) -> None:
    with ThreadPoolExecutor(128) as pool:
        for line in sys.stdin:
            pool.submit(answer, library, json.loads(line))


if __name__ == "__main__":
    main(sys.argv[1])

# SPDX-License-Identifier: MIT
"""A session from which tests try to break out: Python inside that answers in JSON, and a look at it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inside import Inside
from node import Node

from strata.sandbox import seccomp, syscalls

_MACHINE = platform.machine()
_NAMES = ("mknodat", "clone", "getpid", "inotify_init1", "socket", *(rule.call for rule in syscalls.RULES))
_CALLS = (*_NAMES, *(name for group in (*syscalls.DENIED, *syscalls.HIDDEN) for name in group.calls))
NUMBERS = {name: seccomp.number_of(name, _MACHINE) for name in _CALLS if seccomp.number_of(name, _MACHINE) >= 0}
_PRELUDE = """
import ctypes, errno, json, mmap, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    number = name if type(name) is int else NUMBERS[name]
    answer = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments))
    return errno.errorcode[ctypes.get_errno()] if answer == -1 else "done"
def attempt(function, *arguments, **more):
    try:
        function(*arguments, **more)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def reading(path):
    return attempt(lambda: open(path, "rb").read(1))
"""


def python(code: str) -> str:
    """The program that Python inside runs. `attempt`, `call` and `reading` give the errno's name, or `done`."""
    return f"NUMBERS = {NUMBERS}\n{_PRELUDE}\n{code}"


@dataclass(frozen=True)
class Cell(Inside):
    """A session and what can be tried in it."""

    def tells(self, code: str, **params: Any) -> Any:
        """Run Python inside; what it left in `answer`."""
        said = self.run("/usr/bin/python3", "-c", python(f"{code}\nprint(json.dumps(answer))"), **params)
        assert said["exit_code"] == 0, said
        return json.loads(said["stdout"].splitlines()[-1])

    def dies(self, code: str) -> str:
        """Run Python inside that must not live through it; the signal that ended it."""
        said = self.run("/usr/bin/python3", "-c", python(code))
        assert said["ended"] == "signal", said
        return str(said["signal"])

    def ask(self, method: str, passed: Sequence[int] = (), **params: Any) -> dict[str, Any]:
        """The whole reply, be it an error."""
        with self.asked(method, passed, **params) as connection:
            return connection.reply()

    @property
    def scope(self) -> str:
        return f"strata-sandbox-{self.owner}-{self.session}.scope"

    def processes_outside(self) -> dict[int, str]:
        """All that is in the scope: pid, as the machine numbers them → its cgroup below the scope."""
        found = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (place := _below(entry, self.scope)):
                    found[int(entry.name)] = place
        return found

    @property
    def directory(self) -> Path:
        """Where it lies on disk."""
        return self.strata.manager.paths.state_dir / "sandbox/sessions" / self.owner / self.session


def _below(process: Path, scope: str) -> str:
    """By cgroup2, where each command has a cgroup of its own on every machine."""
    places = (process / "cgroup").read_text().splitlines()
    place = next((line for line in places if line.startswith("0::")), "")
    _, found, rest = place.partition(f"/{scope}")
    return (rest or "/") if found else ""


@contextlib.contextmanager
def opened(strata: Node, owner: str, session: str, **wanted: Any) -> Iterator[Cell]:
    """A session for as long as the block lasts."""
    cell = Cell(strata, owner, session)
    cell.call("create", **wanted)
    try:
        yield cell
    finally:
        with contextlib.suppress(AssertionError):  # a test may have brought it to its end
            cell.call("close")


def open_descriptors(pid: int) -> dict[int, str]:
    """Descriptor → what it is, of a process seen from outside."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def memory_of(strata: Node, service: str) -> int:
    """Bytes that a service's main process has resident."""
    pid = strata.services()[service]["pid"]
    text = strata.manager.run(["cat", f"/proc/{pid}/status"]).stdout
    line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024

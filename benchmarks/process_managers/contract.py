# SPDX-License-Identifier: MIT
"""What a process manager has to do to be measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from benchmarks.fleet import Fleet
from benchmarks.place import Place

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "peers" / "process-managers"
"""Where scripts/bench-peers puts those that this machine has not installed."""

Answer = Callable[[], object]
"""Waits for the manager's answer to what it has been asked. Raises when that is a refusal."""


class Missing(Exception):
    """It cannot run here; the message says why."""


class ProcessManager(Protocol):
    """One manager with its services. Every one is started as soon as it is declared, and again whenever it ends, after
    the least delay that the manager allows; `delay` says which that is, `asked` how it is asked to do something."""

    name: str
    version: str
    delay: str
    asked: str

    def __init__(self, place: Place, fleet: Fleet, directory: Path) -> None:
        """`directory` is its own. Raises Missing."""

    def declare(self, names: Sequence[str]) -> None:
        """Let these be its services, and no others; it may begin anew. Returns when it has been told, not when they
        run."""

    def start(self, name: str) -> Answer:
        """Ask for a stopped one to be started."""

    def stop(self, name: str) -> None:
        """Have one stopped; returns when the manager says that it is."""

    def managers(self) -> list[int]:
        """Its own processes, as this process sees them."""

    def close(self) -> None:
        """End it and all its services, and remove what it made."""


def parent(pid: int) -> int:
    """Of a process (proc_pid_stat(5))."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children(pid: int) -> list[int]:
    """Of a process's first thread."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def program(name: str, *directories: Path) -> Path:
    """Of those directories, or else of PATH. Raises Missing."""
    for directory in (*directories, *map(Path, os.environ.get("PATH", os.defpath).split(":"))):
        if (directory / name).is_file():
            return directory / name
    raise Missing(f"{name} is not here; scripts/bench-peers fetches it")

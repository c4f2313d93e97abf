# SPDX-License-Identifier: MIT
"""What a peer is: a way to get a sandbox, said in the same words for all of them.

Everything here runs in one process beside the systemd that runs Strata (run.py), so that all have the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple, Protocol

SHELL = ("/bin/bash", "--noprofile", "--norc")
"""What waits in every sandbox; Strata's sessions have bash too."""

MEMORY, TASKS = 1_073_741_824, 512
"""Limits, where a peer has any: bytes, and processes with their threads."""

FIRST_UID, UIDS = 70_000, 65_536
"""Who root of a sandbox is outside, where a peer can say so."""


class Isolation(NamedTuple):
    """What it gives as it is run here. The first eight make up "the same isolation"."""

    mounts: bool = False  # a mount namespace: its own view of files
    processes: bool = False  # a pid namespace: others are not there
    network: bool = False  # a network namespace
    users: bool = False  # root inside, or whoever it is, is nobody outside
    own_root: bool = False  # a writable / of its own, kept on disk while it lives
    filter: bool = False  # of system calls
    limits: bool = False  # of memory and processes, of the whole sandbox
    disk: bool = False  # a bound of what it writes: it cannot fill the disk of all
    session: bool = False  # commands one after another in the same one, by means of its own
    reattach: bool = False  # by another client, when the one that opened it is gone


SAME = ("mounts", "processes", "network", "users", "own_root", "filter", "limits", "disk")

ALL_BUT_DISK = Isolation(*[True] * len(Isolation._fields))._replace(disk=False)


class Tools(NamedTuple):
    """Where the programs are: those of this machine, and those that scripts/bench-peers fetched."""

    peers: Path
    scratch: Path  # for what belongs to no single sandbox
    settings: dict[str, str]  # of the Strata that is measured


class Box(NamedTuple):
    """One sandbox to be: its name, and a directory for its files."""

    name: str
    path: Path
    tools: Tools
    own_disk: bool = False  # whether `path` is to be a disk of its own (disks.py)

    @property
    def root(self) -> Path:
        """Its file tree, where it has one."""
        return self.path / "root"


class Sandbox(Protocol):
    """One that is open: the first output of `echo` has been read. All methods raise RuntimeError or TimeoutError."""

    def execute(self) -> None:
        """Have `echo hello` run in it, read what it says, and wait for its end."""

    def line(self) -> None:
        """The same by a line to the shell that waits in it. No exit code, no time limit, one after another."""

    def start_children(self, count: int) -> None:
        """Leave processes in it that end by themselves only much later."""

    def bulk(self, size: int) -> None:
        """Read so many bytes that a program in it writes."""

    def close(self) -> None:
        """End it and remove its files."""


class Peer(NamedTuple):
    """A row of the comparison."""

    name: str
    what: str  # how it is run here, in words
    isolation: Isolation
    version: Callable[[Tools], str]
    missing: Callable[[Tools], str]  # why it cannot run here; "" when it can
    open: Callable[[Box], Sandbox]
    execute: str = ""  # by what a command is run in an open one; "" for none: a new sandbox each time
    has_line: bool = True  # a shell on a pipe
    stays: bool = True  # something of it waits between commands
    around: Callable[[Tools], AbstractContextManager[object]] = lambda _: nullcontext()  # while it is measured


Argv = Sequence[str]

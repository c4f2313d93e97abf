# SPDX-License-Identifier: MIT
"""Sandboxes that a command line starts: a shell with a pipe to it and one from it, as a program would drive it."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import disks, tools, trees
from benchmarks.peers.contract import SHELL, Argv, Box, Sandbox
from benchmarks.peers.started import Started

_NUMBERS = itertools.count()
_CHILDREN = "for i in $(seq {count}); do sleep 1000 </dev/null >/dev/null 2>&1 & done"


class Recipe(NamedTuple):
    """The command lines of one peer."""

    start: Callable[[Box, Argv], Argv]
    """Makes a sandbox and runs a command in it."""
    prepare: Callable[[Box], None]
    """Makes the files that it needs. Part of what opening takes."""
    enter: Callable[[Box, Argv], Argv] | None = None
    """Runs a command in one that is open."""
    end: Callable[[Box], Argv] | None = None
    """Ends one; without it, `how` does."""
    how: signal.Signals = signal.SIGKILL
    programs: tuple[str, ...] = ()
    """Those that may have been unpacked with libraries of their own."""
    holds: bool = False
    """Whether the program that started it goes when the first output came, and the sandbox stays."""


def opener(recipe: Recipe) -> Callable[[Box], Sandbox]:
    """How a peer of this recipe opens a sandbox."""
    return lambda box: Shelled(recipe, box)


def writer(size: int) -> Argv:
    """A program that writes so much, in pieces as large as a pipe holds."""
    return ("/usr/bin/dd", "if=/dev/zero", "bs=65536", f"count={size // 65536}", "status=none")


class Shelled:
    """One of them, open."""

    def __init__(self, recipe: Recipe, box: Box) -> None:
        self._recipe, self._box = recipe, box
        self._furnish(box)
        if recipe.holds:
            command: Argv = ("/bin/bash", "-c", "echo ready; exec 3<>/wait; read -r word <&3")
            self._shell = self._begin(recipe.start(box, command), box)
            self._shell.wait_for("ready")
            self._shell.stop(signal.SIGKILL)
        else:
            self._shell = self._begin(recipe.start(box, SHELL), box)
            self.line("ready")

    def line(self, word: str = "hello") -> None:
        self._shell.ask(f"echo {word}", word)

    def execute(self) -> None:
        self._run(("/bin/bash", "-c", "echo hello"), lambda program: _expect(program.whole(), b"hello\n"))

    def start_children(self, count: int) -> None:
        if self._recipe.holds:
            command = ("/bin/bash", "-c", _CHILDREN.format(count=count))
            self._run(command, lambda program: program.whole())
        else:
            self._shell.ask(f"{_CHILDREN.format(count=count)}; echo started", "started")

    def bulk(self, size: int) -> None:
        self._run(writer(size), lambda program: _drain(program, size))

    def close(self) -> None:
        try:
            if self._recipe.end:
                self._begin(self._recipe.end(self._box), self._box, "end").whole()
        finally:
            if not self._recipe.holds:
                self._shell.stop(self._recipe.how)
            _clear(self._box.path)

    def _run(self, command: Argv, use: Callable[[Started], object]) -> None:
        """In this one if it can be entered, else in a new one, whose files are removed when it is done."""
        if self._recipe.enter:
            use(self._begin(self._recipe.enter(self._box, command), self._box, "enter"))
            return
        name = f"{self._box.name}-{next(_NUMBERS)}"
        box = self._box._replace(name=name, path=self._box.path.with_name(name))
        self._furnish(box)
        use(self._begin(self._recipe.start(box, command), box))
        _clear(box.path)

    def _furnish(self, box: Box) -> None:
        box.path.mkdir()
        box.path.chmod(0o755)
        if box.own_disk:
            disks.make(box)
        self._recipe.prepare(box)

    def _begin(self, argv: Argv, box: Box, what: str = "start") -> Started:
        env = tools.environment(box.tools, *self._recipe.programs)
        return Started(argv, env, box.path / f"{what}.errors")


def _clear(path: Path) -> None:
    disks.remove(path)
    trees.remove(path)


def _drain(program: Started, size: int) -> None:
    program.drain(size)
    program.whole()


def _expect(found: bytes, wanted: bytes) -> None:
    if found != wanted:
        raise RuntimeError(f"said {found[:200]!r} instead of {wanted!r}")

# SPDX-License-Identifier: MIT
"""The terminals of one session, by name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from strata.errors import Conflict, Internal, NotFound, ResourceExhausted, StrataError
from strata.sandbox import descriptor_store
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.children import watch
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.ids import check
from strata.sandbox.ring import Ring
from strata.sandbox.session import Session, SpawnPlan
from strata.sandbox.shown import moment
from strata.sandbox.terminal import KEPT_BYTES, Parts, Terminal
from strata.sandbox.viewer import Size, Viewer

log = logging.getLogger(__name__)

MAIN = "main"
MOST = 16
MOST_VIEWERS = 32
"""Of one terminal."""

USUAL_SIZE = Size(24, 80)
_KIND = "terminal"
_PROMPT = r"\u@\h:\w\$ "


class Attached(NamedTuple):
    """One who looks at a terminal now. `lost` bytes of what he asked for are not kept any more."""

    terminal: Terminal
    viewer: Viewer
    begin: int
    lost: int


class Terminals:
    """Owns the session's terminals, and their descriptors in the store."""

    def __init__(self, session: Session, store: DescriptorStore, emptiness: Emptiness) -> None:
        self._session, self._store, self._emptiness = session, store, emptiness
        self._open: dict[str, Terminal] = {}
        self._about: dict[str, dict[str, Any]] = {}
        self._turn = asyncio.Lock()
        self._closing = False

    def adopt(self) -> None:
        """Take back those that outlived the room."""
        for name, kept in self._store.take(_KIND, self._session.key).items():
            try:
                self._take_back(name, kept)
            except (StrataError, LookupError, OSError, ValueError):
                log.exception("cannot take back terminal %s of %s", name, self._session.key.label)
                self._forget(name)
                for fd in kept.values():
                    os.close(fd)

    def get(self, name: str) -> Terminal:
        """Raises NotFound."""
        terminal = self._open.get(name)
        if terminal is None or terminal.ended:
            raise NotFound(f"terminal not found: {name}; attach opens one")
        return terminal

    def summary(self) -> list[dict[str, Any]]:
        """All that are open, as they are told."""
        return [
            {
                "terminal": name,
                **terminal.size._asdict(),
                "viewers": len(terminal.viewers),
                "offset": terminal.ring.end,
                "command": self._about[name]["command"],
                "started_at": moment(self._about[name]["started_at"]),
            }
            for name, terminal in self._open.items()
            if not terminal.ended
        ]

    async def attach(
        self, name: str, sock: socket.socket, size: Size | None, offset: int | None, command: str | None
    ) -> Attached:
        """Look at a terminal, opened first where it is not there. Takes the socket over. Raises StrataError."""
        with contextlib.ExitStack() as undo:
            undo.callback(sock.close)
            async with self._turn:
                terminal = await self._opened(check(name, "terminal"), size, command)
            if len(terminal.viewers) >= MOST_VIEWERS:
                raise ResourceExhausted(f"cannot attach: {MOST_VIEWERS} look at terminal {name} already")
            undo.pop_all()
            viewer, lost = terminal.join(sock, size, offset)
            return Attached(terminal, viewer, viewer.begin, lost)

    @property
    def busy(self) -> bool:
        """Whether somebody looks, or more runs in one than its shell."""
        return any(
            terminal.viewers or len(terminal.group.pids()) > (self._about[name]["command"] is None)
            for name, terminal in self._open.items()
        )

    async def close(self) -> None:
        """End all, and let go of everything."""
        self._closing = True
        await asyncio.gather(*(terminal.cut("closed") for terminal in tuple(self._open.values())))

    async def leave(self) -> None:
        """Let go of all; they go on, and wait in the store for the next room."""
        for terminal in tuple(self._open.values()):
            await terminal.leave()
        self._open.clear()

    # ---

    async def _opened(self, name: str, size: Size | None, command: str | None) -> Terminal:
        terminal = self._open.get(name)
        if terminal and terminal.ended:
            await asyncio.shield(terminal.over)
            terminal = None
        if terminal is None:
            return await self._new(name, size or USUAL_SIZE, command)
        if command is not None and command != self._about[name]["command"]:
            raise Conflict(f"cannot run a command in terminal {name}: it is open; attach without one, or name another")
        return terminal

    async def _new(self, name: str, size: Size, command: str | None) -> Terminal:
        if self._closing:
            raise NotFound("session not found")
        if len(self._open) >= MOST:
            raise ResourceExhausted(f"cannot open terminal {name}: {MOST} are open; hang one up")
        self._store.check_room(3, KEPT_BYTES)
        about = {"command": command, "started_at": time.time()}
        group = self._session.groups.scope.make(f"term-{name}")
        try:
            child, master = await self._session.spawn_terminal(self._plan(command), size, group)
        except BaseException:
            group.remove()
            raise
        if master < 0:
            ended = await child.ended
            group.remove()
            raise Internal(f"cannot open a terminal: {ended.message}")
        with contextlib.ExitStack() as undo:
            undo.callback(group.kill)
            undo.callback(child.abandon)
            undo.callback(os.close, master)
            ring = Ring.make("strata-terminal", KEPT_BYTES)
            undo.callback(ring.close)
            ring.note(json.dumps(about).encode())
            self._store.push(self._names(name, {"master": master, "ring": ring.fd, "status": child.status_fd}))
            undo.pop_all()
        return self._add(name, Parts(master, ring, child, group), about)

    def _plan(self, command: str | None) -> SpawnPlan:
        shell = self._session.record.shell
        env = self._session.environment()
        if shell.endswith("bash"):
            env.setdefault("PS1", _PROMPT)
        return SpawnPlan((shell, "-l") if command is None else (shell, "-c", command), env)

    def _take_back(self, name: str, kept: Mapping[str, int]) -> None:
        ring = Ring(kept["ring"])
        about = json.loads(ring.notes()[0])
        group = self._session.groups.scope.make(f"term-{name}")
        self._add(name, Parts(kept["master"], ring, watch(None, kept["status"]), group), about)

    def _add(self, name: str, parts: Parts, about: dict[str, Any]) -> Terminal:
        terminal = self._open[name] = Terminal(name, parts, self._emptiness)
        self._about[name] = about
        terminal.over.add_done_callback(lambda task: None if task.cancelled() else self._ended(name))
        return terminal

    def _ended(self, name: str) -> None:
        del self._open[name], self._about[name]
        self._forget(name)

    def _forget(self, name: str) -> None:
        self._store.remove(*self._names(name, dict.fromkeys(("master", "ring", "status"), -1)))

    def _names(self, name: str, roles: Mapping[str, int]) -> dict[str, int]:
        return {descriptor_store.name(_KIND, self._session.key, name, role): fd for role, fd in roles.items()}

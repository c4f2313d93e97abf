# SPDX-License-Identifier: MIT
"""One open session: its processes, its cgroups, and the way in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from strata.errors import Conflict, Internal, NotFound, ResourceExhausted
from strata.sandbox import launching, tools, worker
from strata.sandbox.cgroup import Group
from strata.sandbox.children import Child, watch
from strata.sandbox.entrance import Entrance
from strata.sandbox.ids import Key
from strata.sandbox.launching import Launcher
from strata.sandbox.record import Record, root_plan
from strata.sandbox.spawning import with_master, with_pidfd
from strata.sandbox.unkept import Unkept

MOST_WORKERS = 64
"""Processes that work on a session's files at the same time."""


class State(StrEnum):
    """What a session is doing."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSING = "closing"


class SpawnPlan(NamedTuple):
    """A command to run in a session. `env` is all of its environment; `numbers` are the descriptors it is given."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str = "/root"
    numbers: tuple[int, ...] = (0, 1, 2)


class Groups(NamedTuple):
    """The cgroups that every session has: the scope's own, that of its first process, that of the keepers. `beside`:
    the scope's directories in the hierarchies that no group has one of its own in."""

    scope: Group
    payload: Group
    keepers: Group
    beside: tuple[str, ...] = ()

    @property
    def entered(self) -> list[str]:
        """What every process joins first that comes into the session; what it starts is in there as well."""
        return [*self.keepers.directories, *self.beside]


class Part(Protocol):
    """What runs in a session: its shell, its runs, its terminals."""

    @property
    def busy(self) -> bool:
        """Whether something runs that nobody waits for."""

    def summary(self) -> Any:
        """What `describe` shows, as JSON."""

    async def close(self) -> None:
        """The session ends: end it, and let go of everything."""

    async def leave(self) -> None:
        """The room ends and the session goes on: let go of it, for the next room to adopt."""


class Session:
    """One session. It owns its entrance; whatever else runs in it is owned by `shell`, `runs` and `terminals`."""

    def __init__(self, record: Record, directory: Path, groups: Groups, entrance: Entrance, launcher: Launcher) -> None:
        self.record, self.directory, self.groups, self.entrance = record, directory, groups, entrance
        self.key: Key = record.key
        self._state, self._moving = State.OPEN, asyncio.Event()
        self._moving.set()
        self.last_used = time.monotonic()
        self.activities: dict[int, str] = {}
        self._launcher = launcher
        self._numbers = itertools.count(1)
        self._workers = 0
        self.parts: dict[str, Part] = {}  # shell, runs, terminals: each put here by the module that owns it

    # --- the way in

    async def spawn(self, plan: SpawnPlan, fds: Sequence[int], group: Group) -> Child:
        """Run a command in `group`, which was made from `groups.scope`. `fds` take the plan's numbers and stay the
        caller's. Raises Unavailable; a command that cannot be executed is told by the child's end."""
        status_r, status_w = os.pipe2(os.O_CLOEXEC)
        try:
            forked = await self._fork("spawn", self._plan(plan, group), [status_w, *fds])
        except BaseException:
            os.close(status_r)
            raise
        finally:
            os.close(status_w)
        return watch(forked, status_r)

    async def spawn_unkept(self, plan: SpawnPlan, fds: Sequence[int], group: Group) -> Child | Unkept:
        """As `spawn`, for a command that stays and mostly waits: no process of ours waits with it, where the kernel
        tells of ends by itself. In a session that is being opened it begins when that is open. `group` is its own, and
        is killed by the caller when this raises."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            wanted = self._plan(plan, group) | {"unkept": True}
            try:
                forked = await self._fork("spawn", wanted, [theirs.fileno(), *fds])
            except BaseException:
                ours.close()
                raise
        return await with_pidfd(forked, ours, self.entrance.opened())

    async def spawn_terminal(self, plan: SpawnPlan, size: tuple[int, int], group: Group) -> tuple[Child, int]:
        """Run a command on a new terminal of (rows, columns); the child, and the terminal's master, which becomes the
        caller's."""
        ours, theirs = socket.socketpair()
        with theirs:
            wanted = self._plan(plan, group) | {"terminal": True, "rows": size[0], "cols": size[1]}
            try:
                forked = await self._fork("spawn", wanted, [theirs.fileno()])
            except BaseException:
                ours.close()
                raise
        return await with_master(forked, ours)

    async def work(self, name: str, arguments: Mapping[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Run a function of the launcher's WORKS table inside the session. Raises StrataError."""
        with self._at_work(name):
            return await worker.result(self._launcher, self._work(name, arguments), [self.entrance.init, *fds])

    async def stream(
        self, name: str, arguments: Mapping[str, Any], fds: Sequence[int] = ()
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As `work`, for a function that yields."""
        with self._at_work(name):
            plan = self._work(name, arguments)
            items = worker.items(self._launcher, plan, [self.entrance.init, *fds])
            async with contextlib.aclosing(items):  # a caller who takes no more ends the worker now
                async for item in items:
                    yield item

    async def work_on_layers(self, name: str, arguments: Mapping[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        """Run a function outside, in a mount namespace of its own; it is given what the root was built from."""
        with self._at_work(name):
            plan = self._work(name, {"root": root_plan(self.record, self.directory), **arguments}, inside=False)
            return await worker.result(self._launcher, plan, fds)

    async def stream_on_layers(
        self, name: str, arguments: Mapping[str, Any], fds: Sequence[int] = ()
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As `work_on_layers`, for a function that yields."""
        with self._at_work(name):
            plan = self._work(name, {"root": root_plan(self.record, self.directory), **arguments}, inside=False)
            items = worker.items(self._launcher, plan, fds)
            async with contextlib.aclosing(items):
                async for item in items:
                    yield item

    # --- activity

    @contextlib.contextmanager
    def active(self, what: str) -> Iterator[None]:
        """While inside, the session is in use; afterwards its idle time begins anew."""
        number = next(self._numbers)
        self.activities[number] = what
        self.last_used = time.monotonic()
        try:
            yield
        finally:
            del self.activities[number]
            self.last_used = time.monotonic()

    @contextlib.contextmanager
    def _at_work(self, what: str) -> Iterator[None]:
        """While inside, one more worker of the session's. Raises ResourceExhausted when there are too many: nothing
        else counts them, since a process that joins a cgroup passes its TasksMax=. Raises NotFound when the session is
        being closed, or is meanwhile."""
        if self.closing:
            raise NotFound("session not found")
        if self._workers >= MOST_WORKERS:
            raise ResourceExhausted(f"{MOST_WORKERS} callers work on files of {self.key.label}; wait, or end a watch")
        self._workers += 1
        try:
            with self.active(what):
                yield
        except Internal as error:
            if not self.closing:
                raise
            raise NotFound("the session was closed meanwhile") from error  # and the worker killed with it
        finally:
            self._workers -= 1

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        (self._moving.clear if state is State.FROZEN else self._moving.set)()

    async def thawed(self) -> None:
        """Return as soon as it is not frozen."""
        await self._moving.wait()

    @property
    def closing(self) -> bool:
        """Whether it is about to be gone."""
        return self.state is State.CLOSING

    def touch(self) -> None:
        """Its idle time begins anew."""
        self.last_used = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """For how long nothing has been done with it."""
        return 0.0 if self.activities else time.monotonic() - self.last_used

    @property
    def exchange_fd(self) -> int:
        """The directory that is /run/strata inside: Strata writes there, the sandbox reads."""
        return self.entrance.exchange

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command: nothing of the server's, the session's own, what the caller adds."""
        usual = ENVIRONMENT | {"SHELL": self.record.shell or ENVIRONMENT["SHELL"]}
        told = tools.environment(self.record.tools, ENVIRONMENT["PATH"])
        return {**usual, **told, **self.record.env, **(extra or {})}

    # ---

    def check_running(self) -> None:
        """Raises Conflict when it is frozen, NotFound when it is about to be gone."""
        if self.closing:
            raise NotFound("session not found")
        if self.state is State.FROZEN:
            raise Conflict(f"{self.key.label} is frozen; thaw it first")

    async def _fork(self, do: str, plan: Mapping[str, Any], fds: Sequence[int]) -> launching.Forked:
        self.check_running()
        with self.entrance.passed() as way_in:
            return await self._launcher.fork(do, plan, [way_in, *fds])

    def _plan(self, plan: SpawnPlan, group: Group) -> dict[str, Any]:
        return {
            **plan._asdict(),
            "terminal": False,
            "unkept": False,
            "keepers": self.groups.entered,
            "group": group.directories,
            "files_max": self.record.limits.files_max,
            "network": self.record.network,
        }

    def _work(self, name: str, arguments: Mapping[str, Any], inside: bool = True) -> dict[str, Any]:
        where = {"keepers": self.groups.entered, "network": self.record.network, "inside": inside}
        return {"work": name, "arguments": dict(arguments), **where}


ENVIRONMENT = {
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "SHELL": "/bin/bash",
    "TERM": "xterm-256color",
    "PATH": "/usr/local/bin:/usr/bin:/bin:/sbin",
    "LANG": "C.UTF-8",
}
"""Vector 153."""

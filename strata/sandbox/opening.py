# SPDX-License-Identifier: MIT
"""Opening a session: the root is built while systemd makes the scope, and nothing of the sandbox runs before it is in.

The order: the launcher forks the first process (its pid is what the scope is made of) → it builds the root, PID 1
makes the scope → the process is seen to be in the scope, is moved into a cgroup below it → it may become bubblewrap →
its payload says that it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from strata.errors import Internal, StrataError, Unavailable
from strata.sandbox import closing, launching, record
from strata.sandbox.cgroup import Group, Layout, delegate, missing
from strata.sandbox.entrance import Entrance
from strata.sandbox.launcher import channel
from strata.sandbox.launching import Launcher
from strata.sandbox.priming import Primer
from strata.sandbox.record import Record, root_plan
from strata.sandbox.session import Groups, Session
from strata.systemd.manager import Manager
from strata.units.properties import encode
from strata.units.render import render_scope
from strata.units.rows import Property

log = logging.getLogger(__name__)
A = TypeVar("A")
B = TypeVar("B")
OPEN_SECONDS = 30.0
_MOST_SAID = 4096
_COMPLAINT_SECONDS = 1.0


Begin = Callable[[Session], None]
"""What is to begin in a session while its first process starts: nobody can come in yet, but may wait to."""


def nothing(_: Session) -> None:
    """Begin nothing."""


class Tools(NamedTuple):
    """What opening a session takes."""

    launcher: Launcher
    manager: Manager
    layout: Layout
    systemd_version: int
    primer: Primer


class _Built(NamedTuple):
    report: dict[str, Any]
    exchange: int
    ready: int
    info: int


class Opening:
    """One attempt to open a session. `scope` is its cgroup once that is there, also when the attempt fails."""

    def __init__(self, tools: Tools, wanted: Record, directory: Path, owner: asyncio.Task[None]) -> None:
        """`directory` is there, with nothing but the record in it; `owner` is done when the owner's slice is there."""
        self._tools, self._wanted, self._directory, self._owner = tools, wanted, directory, owner
        self.scope: Group | None = None
        self._begun = math.inf  # when PID 1 was asked for the scope: its time counts from then on

    async def run(self, begin: Begin) -> Session:
        """The session, open; `begin` is given it while its first process starts. Raises StrataError or OSError; then
        that is killed, and what it left (other processes, the unit, files) is the caller's to remove."""
        with contextlib.ExitStack() as passing, contextlib.ExitStack() as undo:
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    return await self._run(begin, passing, undo)
            except (StrataError, OSError) as error:
                if why := self._too_late(error):
                    raise Unavailable(f"cannot open {self._wanted.key.label}: {why}") from error
                raise

    def _too_late(self, error: Exception) -> str:
        """Why, if time has run out. PID 1 kills what is being opened like any session, and then anything may fail."""
        lifetime = self._wanted.lifetime_seconds
        if lifetime and time.monotonic() - self._begun >= lifetime:
            return f"its lifetime of {lifetime:g} s ended before it was open; give it a longer one"
        return f"it took more than {OPEN_SECONDS:g} s; try again" if isinstance(error, TimeoutError) else ""

    async def _run(self, begin: Begin, passing: contextlib.ExitStack, undo: contextlib.ExitStack) -> Session:
        room, theirs = socket.socketpair()
        passing.enter_context(room)
        with theirs:
            plan = {"root": root_plan(self._wanted, self._directory), "network": self._wanted.network}
            forked = self._tools.launcher.fork("open", plan, [theirs.fileno()])
            first, properties = await _both(forked, self._properties())
        undo.callback(launching.kill, first)
        built, groups = await _both(self._report(room, passing), self._enter_scope(first.pid, properties))
        known = self._known(built.report, _unlimited(self._wanted, first.pid, groups.scope))
        _place(groups, built.report["processes"])
        channel.send(room, {"go": True})
        session = Session(known, self._directory, groups, Entrance(os.dup(built.exchange)), self._tools.launcher)
        try:
            begin(session)
            self._enter(session, await _ready(built))
        except BaseException:
            await closing.end(session)
            raise
        undo.pop_all()
        os.close(first.pidfd)
        return session

    async def _report(self, room: socket.socket, passing: contextlib.ExitStack) -> _Built:
        """What the first process says when the root stands. Raises Internal with its reason when it does not."""
        await readable(room.fileno())
        received = channel.receive(room)
        if received is None:
            raise Internal("cannot build the sandbox's root: the process ended; the journal has the details")
        message, fds = received
        for fd in fds:
            passing.callback(os.close, fd)
        if "error" in message:
            raise Internal(f"cannot build the sandbox's root: {message['error']} {message['path']}".rstrip())
        if len(fds) != len(_Built._fields) - 1:  # the kernel had no numbers left for them here (EMFILE)
            raise Unavailable("cannot open a session: too many files are open; close some sessions and try again")
        return _Built(message, *fds)

    async def _properties(self) -> Sequence[Property]:
        """Of the scope; found while the launcher forks."""
        key, limits = self._wanted.key, self._wanted.limits
        text = render_scope(key.scope, key.slice, key.label, limits, self._wanted.lifetime_seconds)
        return encode(text, self._tools.systemd_version).properties

    async def _enter_scope(self, pid: int, properties: Sequence[Property]) -> Groups:
        """Have the first process in its place below the scope. At once: soon after systemd's move another need not wait
        for the kernel (priming.py)."""
        key = self._wanted.key
        await asyncio.shield(self._owner)
        self._begun = time.monotonic()
        job = await self._tools.manager.run_transient([(key.scope, [*properties, Property("PIDs", "au", [pid])])])
        self.scope = self._tools.layout.group_of(pid, key.scope)
        if job.result != "done" or self.scope is None:
            raise Unavailable(f"cannot open {key.label}: systemd says {job.result} for its scope; try again")
        beside = self._tools.layout.beside(pid, key.scope)
        groups = Groups(self.scope, self.scope.make("payload"), self.scope.make("keepers"), beside)
        groups.payload.join(pid)
        return groups

    def _known(self, report: dict[str, Any], unlimited: list[str]) -> Record:
        """The record, with what the root has turned out to be."""
        warnings = (*report["warnings"], *unlimited)
        return msgspec.structs.replace(self._wanted, driver=report["driver"], shell=report["shell"], warnings=warnings)

    def _enter(self, session: Session, init: int) -> None:
        """The session is open: its record says so. Its first process is held by a descriptor by now; so it is seen
        whether it still is the one that was told."""
        session.entrance.open(os.pidfd_open(init))
        started = record.start_of(init)
        if self._tools.layout.group_of(init, self._wanted.key.scope) is None:
            raise Internal("cannot start the sandbox: its first process ended at once; the journal has the details")
        session.record = msgspec.structs.replace(session.record, init_pid=init, init_start=started)
        record.save(self._directory, session.record)


async def _both(one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """When one fails, the other has ended too: what it looks at is closed next."""
    tasks = asyncio.create_task(one), asyncio.create_task(other)
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


def _place(groups: Groups, servers: list[int]) -> None:
    """Put the processes that the first one needs for as long as it lives beside it: systemd was not told of them, and
    one that was begun while the first was in the scope itself is there."""
    for server in servers:
        groups.payload.join(server)
        for directory in groups.beside:
            Path(directory, "cgroup.procs").write_text(str(server))
    delegate(groups.scope)  # with nobody in it: a group that passes controllers on has none (cgroups(7))


def _unlimited(wanted: Record, pid: int, scope: Group) -> list[str]:
    """A sentence for each limit that nobody holds here: it is told, not passed over."""
    given = {"memory": "memory_max", "pids": "tasks_max", **({"cpu": "cpu_quota"} if wanted.limits.cpu_quota else {})}
    names = [given[name] for name in missing(pid, wanted.key.scope, scope) if name in given]
    return [f"{name} is not enforced: systemd has not delegated that cgroup controller here" for name in names]


async def _ready(built: _Built) -> int:
    """Pid of the sandbox's first process, once its payload runs. Raises Internal with what bubblewrap complains of."""
    await readable(built.ready)
    said = os.read(built.ready, _MOST_SAID)
    if said[:1] != READY:
        said = await _whole(built.ready, said)
        raise Internal(f"cannot start the sandbox: {said.decode('utf-8', 'replace').strip() or 'bubblewrap ended'}")
    info = os.read(built.info, _MOST_SAID)
    return int(json.loads(info)["child-pid"])


async def _whole(fd: int, said: bytes) -> bytes:
    """A complaint comes in pieces, until its writer ends."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_COMPLAINT_SECONDS):
            while piece := await _piece(fd):
                said += piece
    return said[:_MOST_SAID]


async def _piece(fd: int) -> bytes:
    await readable(fd)
    return os.read(fd, _MOST_SAID)


READY = b"1"
"""What the payload says first."""


async def readable(fd: int) -> None:
    """Until there is something to read, or the end."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(fd, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(fd)


def make_directory(directory: Path) -> None:
    """Where a session is to lie on disk. Raises Unavailable or OSError."""
    for _ in range(10):  # the owner's directory is removed with the owner's last session, which may be now
        try:
            directory.mkdir(0o711, parents=True)
            return
        except FileNotFoundError:
            continue
    raise Unavailable(f"cannot make {directory}: it is being removed; try again")

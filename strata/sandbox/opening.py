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
import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from strata.errors import Internal, StrataError, Unavailable
from strata.sandbox import launching, record
from strata.sandbox.cgroup import Group, Layout, delegate, missing
from strata.sandbox.launcher import channel
from strata.sandbox.launching import Forked, Launcher
from strata.sandbox.record import Record
from strata.sandbox.session import ENVIRONMENT, Groups, Handles, Session, root_plan
from strata.systemd.manager import Manager
from strata.units.properties import encode
from strata.units.render import render_scope
from strata.units.rows import Property

log = logging.getLogger(__name__)
OPEN_SECONDS = 30.0
_MOST_SAID = 4096


class Tools(NamedTuple):
    """What opening a session takes."""

    launcher: Launcher
    manager: Manager
    layout: Layout
    systemd_version: int


class _Built(NamedTuple):
    report: dict[str, Any]
    exchange: int
    ready: int
    info: int

    def close(self) -> None:
        for fd in (self.ready, self.info):
            os.close(fd)


async def open_session(tools: Tools, wanted: Record, directory: Path) -> Session:
    """The session, open. `directory` is there and empty. Raises StrataError; then no process and no unit is left, only
    the directory is the caller's to remove."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            plan = {
                "root": root_plan(wanted, directory),
                "network": wanted.network,
                "env": {**ENVIRONMENT, **wanted.env},
            }
            first = await tools.launcher.fork("open", plan, [theirs.fileno()])
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await _open(tools, wanted, directory, first, ours)
        except TimeoutError as error:
            launching.kill(first)
            raise Unavailable(f"cannot open {wanted.key.label}: it took more than {OPEN_SECONDS:g} s") from error
        except BaseException:
            launching.kill(first)
            raise


async def _open(tools: Tools, wanted: Record, directory: Path, first: Forked, room: socket.socket) -> Session:
    ours, theirs = asyncio.create_task(_report(room)), asyncio.create_task(_scope(tools, wanted, first.pid))
    try:
        built, scope = await asyncio.gather(ours, theirs)
    except BaseException:
        for task in (ours, theirs):
            task.cancel()
        for outcome in await asyncio.gather(ours, theirs, return_exceptions=True):
            if isinstance(outcome, _Built):
                outcome.close()
                os.close(outcome.exchange)
        raise
    with contextlib.closing(built):
        unlimited = _unlimited(wanted, first.pid, scope)
        beside = tools.layout.beside(first.pid, wanted.key.scope)
        groups = _groups(Groups(scope, scope.make("payload"), scope.make("keepers"), beside), first.pid, built)
        channel.send(room, {"go": True})
        init = await _ready(built)
    done = msgspec.structs.replace(
        wanted,
        driver=built.report["driver"],
        shell=built.report["shell"],
        warnings=(*built.report["warnings"], *unlimited),
        init_pid=init,
        init_start=record.start_of(init),
    )
    record.save(directory, done)
    handles = Handles(os.pidfd_open(init), built.exchange)
    os.close(first.pidfd)
    return Session(done, directory, groups, handles, tools.launcher)


async def _report(room: socket.socket) -> _Built:
    """What the first process says when the root stands. Raises Internal with its reason when it does not."""
    await readable(room.fileno())
    received = channel.receive(room)
    if received is None:
        raise Internal("cannot build the sandbox's root: the process ended; the journal has the details")
    message, fds = received
    if "error" in message:
        raise Internal(f"cannot build the sandbox's root: {message['error']} {message['path']}".rstrip())
    return _Built(message, *fds)


async def _scope(tools: Tools, wanted: Record, pid: int) -> Group:
    key = wanted.key
    text = render_scope(key.scope, key.slice, key.label, wanted.limits, wanted.lifetime_seconds)
    properties = [*encode(text, tools.systemd_version).properties, Property("PIDs", "au", [pid])]
    job = await tools.manager.run_transient([(key.scope, properties)])
    group = tools.layout.group_of(pid, key.scope)
    if job.result != "done" or group is None:
        raise Unavailable(f"cannot open {key.label}: systemd says {job.result} for its scope; try again")
    return group


def _groups(groups: Groups, pid: int, built: _Built) -> Groups:
    """Put the first process in its place below the scope, and those that it needs for as long as it lives: nobody else
    has put them into the scope."""
    groups.payload.join(pid)
    for server in built.report["processes"]:
        groups.payload.join(server)
        for directory in groups.beside:
            Path(directory, "cgroup.procs").write_text(str(server))
    delegate(groups.scope)
    return groups


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
        raise Internal(f"cannot start the sandbox: {said.decode('utf-8', 'replace').strip() or 'bubblewrap ended'}")
    info = os.read(built.info, _MOST_SAID)
    return int(json.loads(info)["child-pid"])


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


async def open_slice(manager: Manager, name: str, properties: tuple[Property, ...]) -> None:
    """Make the owner's slice, unless it is there. Raises StrataError."""
    try:
        await manager.run_transient([(name, properties)])
    except StrataError as error:
        if error.name != "CONFLICT":
            raise

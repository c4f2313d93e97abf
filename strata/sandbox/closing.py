# SPDX-License-Identifier: MIT
"""Making a session be gone: first no process, then no unit, then no file; done when all three are so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import NamedTuple

from strata.errors import Internal, NotFound, Unavailable
from strata.sandbox.cgroup import Group
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.ids import Key
from strata.sandbox.layers import erase
from strata.sandbox.record import Record
from strata.sandbox.session import Session
from strata.systemd.manager import Manager

log = logging.getLogger(__name__)
KILL_SECONDS = 10.0
STOP_SECONDS = 45.0
"""Longer than systemd takes for a scope that does not end: its TimeoutStopSec=, twice."""

_PATIENCE_SECONDS = 0.1


class Remains(NamedTuple):
    """What there may be of a session that is to be gone. `record` and `scope` are None where they are not known."""

    key: Key
    directory: Path
    record: Record | None = None
    scope: Group | None = None


async def end(session: Session) -> Remains:
    """End what runs in it, and let go of it; what remains is to be removed."""
    session.groups.scope.kill()
    for name, part in tuple(session.parts.items()):
        try:
            await part.close()
        except Exception:  # the session goes all the same
            log.exception("cannot let go of the %s of %s", name, session.key.label)
    session.parts.clear()
    session.entrance.close()
    return Remains(session.key, session.directory, session.record, session.groups.scope)


async def remove(manager: Manager, emptiness: Emptiness, remains: Remains) -> None:
    """Returns when no process, no unit and no file is left. Raises Unavailable or Internal; it may be called again."""
    key, scope = remains.key, remains.scope
    if scope and not await _emptied(emptiness, scope):
        raise Unavailable(f"cannot close {key.label}: processes of it do not die; see {key.scope}")
    await stop(manager, key.scope)
    try:
        await asyncio.to_thread(_erase, remains.directory)
    except OSError as error:
        raise Internal(f"cannot remove the files of {key.label}: {error}") from error


async def stop(manager: Manager, unit: str) -> None:
    """Stop a unit and wait until it has; one that systemd does not know needs none of it. Raises Unavailable."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            job = await manager.stop(unit)
    except NotFound:
        return
    except TimeoutError as error:
        raise Unavailable(f"cannot stop {unit}: systemd has not done it within {STOP_SECONDS:g} s") from error
    if job.result != "done":
        raise Unavailable(f"cannot stop {unit}: systemd says {job.result}; see systemctl status {unit}")


async def _emptied(emptiness: Emptiness, group: Group) -> bool:
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        group.kill()  # again and again: a worker or a keeper may have been on its way in
        if await emptiness.wait(group, _PATIENCE_SECONDS):
            return True
    return False


def _erase(directory: Path) -> None:
    erase.tree(str(directory))
    with contextlib.suppress(OSError):  # not empty: the owner has other sessions
        directory.parent.rmdir()

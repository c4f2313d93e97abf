# SPDX-License-Identifier: MIT
"""Closing a session: first no process, then no unit, then no file; done when all three are so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from strata.errors import Internal, NotFound, Unavailable
from strata.sandbox.cgroup import Emptiness
from strata.sandbox.ids import Key
from strata.sandbox.layers import erase
from strata.sandbox.session import Session
from strata.systemd.manager import Manager

log = logging.getLogger(__name__)
KILL_SECONDS = 10.0


async def close(manager: Manager, emptiness: Emptiness, session: Session) -> None:
    """End the session. Raises Unavailable when processes do not die or files do not go; the sweep tries again."""
    group = session.groups.scope
    group.kill()
    for part in session.parts.values():
        await part.close()
    session.parts.clear()
    empty = await emptiness.wait(group, KILL_SECONDS)
    session.handles.close()
    if not empty:
        raise Unavailable(f"cannot close {session.key.label}: processes of it do not die; see {session.key.scope}")
    await clean_up(manager, session.key, session.directory)


async def clean_up(manager: Manager, key: Key, directory: Path) -> None:
    """Let systemd forget the scope, and remove what is on disk. Raises Internal when that cannot be done."""
    await stop(manager, key.scope)
    try:
        await asyncio.to_thread(_erase, directory)
    except OSError as error:
        raise Internal(f"cannot remove the files of {key.label}: {error}") from error


async def stop(manager: Manager, unit: str) -> None:
    """Stop a unit and wait until it has; one that systemd does not know needs none of it."""
    with contextlib.suppress(NotFound):
        job = await manager.stop(unit)
        if job.result not in ("done", "canceled"):
            log.warning("systemd says %s for stopping %s", job.result, unit)


def _erase(directory: Path) -> None:
    erase.tree(str(directory))
    with contextlib.suppress(OSError):  # not empty: the owner has other sessions
        directory.parent.rmdir()

# SPDX-License-Identifier: MIT
"""Holding a session still: every process in it stops where it is (the freezer of cgroups(7)) and goes on as if nothing
had been."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from strata.errors import Unavailable
from strata.sandbox.cgroup import Group
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.session import Session, State

FREEZE_SECONDS = 5.0


async def freeze(session: Session, emptiness: Emptiness) -> None:
    """Stop everything in it. Raises Unavailable when that takes too long; then a part may have stopped."""
    groups = _groups(session)
    for group in groups:
        group.freeze()
    for group in groups:
        if not await emptiness.wait_frozen(group, FREEZE_SECONDS):
            raise Unavailable(f"cannot freeze all of {session.key.label} within {FREEZE_SECONDS:g} s; thaw it or wait")


def thaw(session: Session) -> None:
    """Let it go on."""
    for group in _groups(session):
        group.thaw()


def _groups(session: Session) -> list[Group]:
    """Not the keepers: files can be read and ends be told while the sandbox stands still."""
    return [group for group in session.groups.scope.children() if group != session.groups.keepers]


@contextlib.asynccontextmanager
async def paused(session: Session, emptiness: Emptiness) -> AsyncIterator[None]:
    """Nothing in it moves while inside; one that is frozen stays so afterwards. Raises Unavailable."""
    try:
        await freeze(session, emptiness)
        yield
    finally:
        if session.state is State.OPEN:
            thaw(session)

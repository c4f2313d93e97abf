# SPDX-License-Identifier: MIT
"""Waiting for what a cgroup's `cgroup.events` tells: that it is empty, that it is frozen (cgroups(7))."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from strata.sandbox.cgroup import Group
from strata.sandbox.inotify import Inotify

# The kernel tells of a change at most every 10 ms, and never when the group is removed before it did
# (CGROUP_FILE_NOTIFY_MIN_INTV, kernel/cgroup/cgroup.c): systemd removes those of a scope that has ended. So look again.
_LOOK_AGAIN_SECONDS = 0.02
_MOST_SECONDS = 60.0


class Emptiness:
    """Tells when groups are empty."""

    def __init__(self) -> None:
        self.inotify = Inotify()

    def close(self) -> None:
        """Tell nothing any more."""
        self.inotify.close()

    async def wait(self, group: Group, timeout: float) -> bool:
        """Until no process is in the group or below; False after `timeout` seconds."""
        return await self._until(group, lambda: not group.populated, timeout)

    async def wait_frozen(self, group: Group, timeout: float) -> bool:
        """Until everything in it has stopped, after `freeze`, or it is gone; False after `timeout` seconds."""
        return await self._until(group, lambda: group.frozen or not group.tree.exists(), timeout)

    async def _until(self, group: Group, holds: Callable[[], bool], timeout: float) -> bool:
        changed, patience = asyncio.Event(), _LOOK_AGAIN_SECONDS
        try:
            number = self.inotify.watch(str(group.tree / "cgroup.events"), changed.set)
        except FileNotFoundError:
            return holds()
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(patience):
                            await changed.wait()
                    changed.clear()
                    patience = min(2 * patience, _MOST_SECONDS)
        except TimeoutError:
            return holds()
        finally:
            self.inotify.forget(number)
        return True

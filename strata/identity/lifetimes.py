# SPDX-License-Identifier: MIT
"""How long the processes live that follow our revocations: a pidfd of each (pidfd_open(2)), which systemd keeps over a
crash and a restart of ours (FDSTORE, sd_notify(3))."""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable, Mapping
from typing import NamedTuple

from strata.errors import InvalidArgument
from strata.systemd import notify

_KIND = "verifier"

log = logging.getLogger(__name__)


class Verifier(NamedTuple):
    """A follower of our revocations in a process; `name` stays the same over its polls and its connections."""

    pid: int
    name: str


class Lifetimes:
    """Calls `ended` once for each verifier whose process has ended, from the event loop."""

    def __init__(self, ended: Callable[[Verifier], None]) -> None:
        self._ended = ended
        self._pidfds: dict[Verifier, int] = {}

    def watch(self, verifier: Verifier) -> None:
        """Raises InvalidArgument when its process has ended already."""
        try:
            pidfd = os.pidfd_open(verifier.pid)
        except ProcessLookupError as error:
            raise InvalidArgument(
                f"cannot wait for process {verifier.pid}, which connected: it has ended", param="verifier"
            ) from error
        self._add(verifier, pidfd)
        self._keep(("FDSTORE=1", f"FDNAME={_full(verifier)}"), (pidfd,))

    def resume(self, kept: Mapping[str, int]) -> list[Verifier]:
        """Watch those of our predecessor that have not ended; takes the descriptors over."""
        for full, pidfd in kept.items():
            verifier = _verifier(full)
            if verifier is None or _has_ended(pidfd):
                os.close(pidfd)
                self._keep(("FDSTOREREMOVE=1", f"FDNAME={full}"))
            else:
                self._add(verifier, pidfd)
        return list(self._pidfds)

    def close(self) -> None:
        """Watch nobody any more."""
        for verifier in tuple(self._pidfds):
            self._drop(verifier)

    def _add(self, verifier: Verifier, pidfd: int) -> None:
        self._pidfds[verifier] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._end, verifier)

    def _end(self, verifier: Verifier) -> None:
        self._drop(verifier)
        self._keep(("FDSTOREREMOVE=1", f"FDNAME={_full(verifier)}"))
        self._ended(verifier)

    def _drop(self, verifier: Verifier) -> None:
        pidfd = self._pidfds.pop(verifier)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)

    def _keep(self, assignments: tuple[str, ...], fds: tuple[int, ...] = ()) -> None:
        """Never waits: a manager that is not listening must not hold up the revocations of all."""
        try:
            notify.notify(*assignments, fds=fds, wait=False)
        except OSError as error:
            log.warning("systemd does not take %s: %s", " ".join(assignments), error.strerror)


def _full(verifier: Verifier) -> str:
    return f"{_KIND}/{verifier.pid}/{verifier.name}"


def _verifier(full: str) -> Verifier | None:
    """None for a name that was never one of ours."""
    kind, _, rest = full.partition("/")
    pid, _, name = rest.partition("/")
    return Verifier(int(pid), name) if kind == _KIND and pid.isdecimal() and name else None


def _has_ended(pidfd: int) -> bool:
    polled = select.poll()
    polled.register(pidfd, select.POLLIN)
    return bool(polled.poll(0))

# SPDX-License-Identifier: MIT
"""D-Bus to the systemd that Strata runs on, also where that one is private. The only file here that needs pystemd."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from strata.cli.modes import Manager
from strata.embedded import namespaces as ns
from strata.systemd.bus import Bus


@contextlib.contextmanager
def bus_of(manager: Manager) -> Iterator[Bus]:
    """A connection for as long as the context lasts. Raises Unavailable."""
    with contextlib.closing(_opened(manager)) as bus:
        yield bus


def _opened(manager: Manager) -> Bus:
    """systemd refuses on its private socket whoever its PID namespace cannot see (SO_PEERCRED then has no pid), so a
    bridge of systemd's own speaks from inside. It is our own child, with nobody between as for `Embedded.bus_address`:
    an orphan is reaped late, and a systemd that ends waits ten seconds for what is still to be seen."""
    embedded = manager.embedded
    if embedded is None:
        return Bus(manager.address)
    private = f"/proc/{embedded.pid}/root/run/systemd/private"
    own, pidfd = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC), os.pidfd_open(embedded.pid)
    try:
        ns.setns(pidfd, ns.NEWPID)  # for children only: this process stays where it is (setns(2))
        try:
            return Bus("unixexec:path=systemd-stdio-bridge,argv1=" + _escaped(f"--bus-path=unix:path={private}"))
        finally:
            ns.setns(own, ns.NEWPID)
    finally:
        os.close(own)
        os.close(pidfd)


def _escaped(word: str) -> str:
    """A value in a D-Bus address (D-Bus specification, Server Addresses)."""
    return "".join(ch if ch.isalnum() or ch in "-_/." else f"%{ord(ch):02x}" for ch in word)

# SPDX-License-Identifier: MIT
"""Telling systemd how we are: sd_notify(3) and the watchdog, without a library."""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence


def notify(*assignments: str, fds: Sequence[int] = (), wait: bool = True) -> bool:
    """Send `READY=1`, `FDSTORE=1` … to the service manager; False when there is none to tell. It waits for room, or
    raises BlockingIOError."""
    sock = connected()
    if sock is None:
        return False
    with sock:
        send(sock, assignments, fds, 0 if wait else socket.MSG_DONTWAIT)
    return True


def mention(*assignments: str) -> bool:
    """Send `WATCHDOG=1`, `STATUS=…` and what else may be missed now and then; False when it could not be told.

    Never waits: a manager that is not listening must not stop the event loops of all that it manages.
    """
    try:
        return notify(*assignments, wait=False)
    except OSError:
        return False


def connected() -> socket.socket | None:
    """A socket to the service manager, for who has much to tell it; None when there is no manager."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        sock.close()
        raise
    return sock


def send(sock: socket.socket, assignments: Sequence[str], fds: Sequence[int] = (), flags: int = 0) -> None:
    """One message over such a socket."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg(["\n".join(assignments).encode()], rights, flags)


def watchdog_seconds() -> float | None:
    """The interval within which systemd wants to hear from us (sd_watchdog_enabled(3)), or None."""
    wanted, pid = os.environ.get("WATCHDOG_USEC"), os.environ.get("WATCHDOG_PID")
    if not wanted or (pid and pid != str(os.getpid())):
        return None
    return int(wanted) / 1_000_000

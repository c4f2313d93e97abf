# SPDX-License-Identifier: MIT
"""A message bus for as long as it is needed: `systemd-run --pipe --wait` wants one, a private systemd has none."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.contract import Tools

SOCKET = Path("/run/dbus/system_bus_socket")
_DAEMON = ("dbus-daemon", "--system", "--address=systemd:", "--nofork", "--nopidfile", "--nosyslog")


def missing() -> str:
    """Why there can be none; "" when there is one, or can be."""
    if SOCKET.exists() or shutil.which(_DAEMON[0]):
        return ""
    return "systemd-run --pipe wants a message bus, and dbus-daemon is not installed"


@contextlib.contextmanager
def running(_: Tools) -> Iterator[None]:
    """systemd connects to what is called dbus.service; one that is there already is left alone."""
    if SOCKET.exists():
        yield
        return
    listen = f"--socket-property=ListenStream={SOCKET}"
    _do("systemd-run", "--quiet", "--collect", "--unit=dbus", listen, shutil.which(_DAEMON[0]) or "", *_DAEMON[1:])
    try:
        _do("systemctl", "start", "dbus.service")
        yield
    finally:
        _do("systemctl", "stop", "dbus.socket", "dbus.service")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)


def _do(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")

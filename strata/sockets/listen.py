# SPDX-License-Identifier: MIT
"""Where a listening socket comes from: systemd's hand (sd_listen_fds(3)), or bind(2) when run by hand."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from strata.errors import Conflict

_FIRST_FD = 3  # SD_LISTEN_FDS_START
BACKLOG = 1024


def inherited() -> dict[str, socket.socket]:
    """Sockets that systemd passed to this very process, by FDNAME. The variables are removed: children get none."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "0")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()):
        return {}
    found = {}
    for index in range(int(count)):
        fd = _FIRST_FD + index
        os.set_inheritable(fd, False)
        found[names[index] if index < len(names) else str(index)] = socket.socket(fileno=fd)
    return found


def bound(path: Path, mode: int = 0o666) -> socket.socket:
    """A socket listening at `path`, made by ourselves. A file that nobody listens on any more is replaced.

    Raises Conflict when something answers there already.
    """
    if _answers(path):
        raise Conflict(f"cannot listen on {path}: another process already does; stop it first")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    path.chmod(mode)
    sock.listen(BACKLOG)
    return sock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

# SPDX-License-Identifier: MIT
"""Where a listening socket comes from: systemd's hand (sd_listen_fds(3)), or bind(2) when run by hand."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path

from strata.errors import Conflict, Unavailable

_FIRST_FD = 3  # SD_LISTEN_FDS_START
BACKLOG = 1024


def take() -> None:
    """Take over what systemd passed, close-on-exec, before any child is started that would hold it too: uvloop closes
    nothing for its children that is not marked so."""
    _passed.extend(_take())


def inherited() -> dict[str, socket.socket]:
    """Listening sockets that systemd passed to this very process, by FDNAME; asked a second time, none."""
    return {name: socket.socket(fileno=fd) for name, fd in _hand_over(listening=True).items()}


def stored() -> dict[str, int]:
    """All else that systemd passed: what this service put into its descriptor store (FDSTORE, sd_notify(3)) before it
    was restarted, by FDNAME. The descriptors are the caller's, close-on-exec; asked a second time, none."""
    return _hand_over(listening=False)


_passed: list[tuple[str, int]] = []  # not handed over yet


def _hand_over(listening: bool) -> dict[str, int]:
    take()
    found: dict[str, int] = {}
    for name, fd in tuple(_passed):
        if _listens(fd) == listening:
            _passed.remove((name, fd))
            # One unit may pass several sockets under its one name; each is kept.
            found[name if name and name not in found else f"{name}{fd - _FIRST_FD}"] = fd
    return found


def _take() -> list[tuple[str, int]]:
    """What was passed, in systemd's order. The variables are removed: children get none."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "0")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()):
        return []
    found = []
    for index in range(int(count)):
        os.set_inheritable(_FIRST_FD + index, False)
        found.append((names[index] if index < len(names) else "", _FIRST_FD + index))
    return found


def _listens(fd: int) -> bool:
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    with socket.socket(fileno=os.dup(fd)) as sock:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def bound(path: Path, mode: int = 0o666) -> socket.socket:
    """A socket listening at `path`, made by ourselves. A file that nobody listens on any more is replaced.

    Raises Conflict when something listens there already, Unavailable when the system refuses.
    """
    try:
        if _answers(path):
            raise Conflict(f"cannot listen on {path}: another process already does; stop it first")
        _remove_stale(path)
        return _listening(path, mode)
    except OSError as error:
        raise Unavailable(f"cannot listen on {path}: {error.strerror or error}") from error


def _remove_stale(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Conflict(f"cannot listen on {path}: a file that is no socket is there; move it away")
        path.unlink()


def _listening(path: Path, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(mode)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except (BlockingIOError, TimeoutError):  # its queue is full: a process that hangs still owns the path
            return True
        return True

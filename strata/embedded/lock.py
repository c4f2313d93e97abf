# SPDX-License-Identifier: MIT
"""One at a time: who boots or stops the private systemd of a runtime directory holds its lock file meanwhile."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from strata.errors import Conflict, NotFound


def path_of(runtime_dir: Path) -> Path:
    """Where the lock file lies while somebody holds it."""
    return runtime_dir / "embedded.lock"


@contextlib.contextmanager
def locked(runtime_dir: Path, what: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock; Conflict "cannot <what>: …" when another has it for longer than `patience` seconds, NotFound
    when who had it has removed the runtime directory."""
    path = path_of(runtime_dir)
    fd = _acquire(path, what, time.monotonic() + patience)
    try:
        yield
    finally:
        # Removed while held, so that nobody is locked out; who waits on the removed file looks again.
        path.unlink(missing_ok=True)
        os.close(fd)


def _acquire(path: Path, what: str, deadline: float) -> int:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise NotFound(f"cannot {what}: {path.parent} is gone, with what ran for it; try again") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            if time.monotonic() >= deadline:
                raise Conflict(f"cannot {what}: another boot or stop is under way for {path.parent}") from None
            time.sleep(0.02)
            continue
        if _is_same_file(fd, path):
            return fd
        os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False

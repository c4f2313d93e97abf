# SPDX-License-Identifier: MIT
"""The runtime and state directories: made safely by `up`, swept by `down`, and locked while either is at work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from strata.cli.checks_here import CORE, closed, exposed, unsafe
from strata.errors import Conflict, PermissionDenied, Unavailable
from strata.paths import Paths

PATIENCE = 180.0
"""Seconds to wait for another `up` or `down`: longer than the slowest orderly stop."""


def make(paths: Paths) -> None:
    """Make both directories. Raises PermissionDenied for one that is not ours, or that our services could not enter."""
    for path in (paths.runtime_dir, paths.state_dir):
        try:
            _make(path)
        except OSError as error:
            raise Unavailable(
                f"cannot make {path}: {error.strerror}; make it yourself, or name another with STRATA_RUNTIME_DIR "
                "and STRATA_STATE_DIR"
            ) from error
        if reason := unsafe(path) or exposed(path):
            raise PermissionDenied(
                f"cannot use {path}: {reason}; mend it with `chown` and `chmod`, or name another with "
                "STRATA_RUNTIME_DIR and STRATA_STATE_DIR"
            )
        if closed(path) and not os.listdir(path):
            path.chmod(0o755)  # a directory that is given empty (mktemp -d) becomes ours
        if reason := closed(path):
            raise PermissionDenied(f"cannot use {path}: {reason}; `chmod 0755 {path}`, or name another")


def _make(path: Path) -> None:
    # A careful umask (077) would close them to the services' own users; below a user manager there are none.
    before = os.umask(0o022 if os.geteuid() == 0 else 0o077)
    try:
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    finally:
        os.umask(before)


@contextlib.contextmanager
def turn(paths: Paths) -> Iterator[None]:
    """Hold the runtime directory: one `up` or `down` at a time. A directory that is not there needs no turn."""
    # A file, not the directory itself: whoever may read that can lock it.
    fd = _acquire(_lock_file(paths))
    try:
        yield
    finally:
        if fd is not None:
            _lock_file(paths).unlink(missing_ok=True)  # while it is held: who waits for it looks again
            os.close(fd)


def _lock_file(paths: Paths) -> Path:
    return paths.runtime_dir / "turn.lock"


def _acquire(path: Path) -> int | None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            return None
        if _locked(fd) and _is_same(fd, path):
            return fd
        os.close(fd)
        if time.monotonic() > deadline:
            raise Conflict(
                f"cannot start or stop Strata: another `up` or `down` has long been at work on {path.parent}"
            )
        time.sleep(0.05)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same(fd: int, path: Path) -> bool:
    """Whoever held it has removed it by now, and another may have made it anew."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def sweep(paths: Paths) -> list[str]:
    """Remove what Strata leaves in the runtime directory, and the directory when it is empty; what stays in it."""
    ours = (paths.identity_pub, paths.supervisor_lock, _lock_file(paths))
    for path in (*(paths.socket(service) for service in CORE), *ours):
        path.unlink(missing_ok=True)
    try:
        paths.runtime_dir.rmdir()
    except FileNotFoundError:
        return []
    except OSError:  # not empty, or its parent is not ours to change
        return sorted(os.listdir(paths.runtime_dir))
    return []

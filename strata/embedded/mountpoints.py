# SPDX-License-Identifier: MIT
"""The few places of the machine's tree that a private systemd mounts over, lent to all instances together.

A mount needs something to stand on. What the machine lacks is made, noted in one file, and taken away by the last
instance; not by the first, because removing a directory takes away what others have mounted there (rmdir(2)
succeeds on what is a mount point in another namespace only, since Linux 3.18).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

STATE = Path("/var/lib/strata")
PRIVATE_STATE = Path("/var/lib/private")
MACHINE_ID = Path("/etc/machine-id")

_NOTE = Path("/run/strata-embedded.made")
_DIRECTORIES = ((STATE, 0o755), (PRIVATE_STATE, 0o700))


def lend() -> None:
    """Make the mount points that are missing. The caller has made its cgroups, which say that it is there."""
    with _alone():
        for path, mode in _DIRECTORIES:
            if not path.exists():
                _note(path)
                path.mkdir(mode)
        if not os.path.lexists(MACHINE_ID):
            _note(MACHINE_ID)
            MACHINE_ID.touch(0o444)


def give_back(instances: Iterable[Path]) -> None:
    """Remove what was made, where `instances`, the cgroups of all private systemds, shows that nobody is left."""
    with _alone():
        if any(instances) or not _NOTE.exists():
            return
        for line in reversed(_NOTE.read_text().splitlines()):
            _remove(Path(line))
        _NOTE.unlink()


def _remove(path: Path) -> None:
    # Not empty: somebody uses it by now, and it is theirs.
    with contextlib.suppress(OSError):
        if path.is_dir():
            path.rmdir()
        elif path.stat().st_size == 0:
            path.unlink()


def _note(path: Path) -> None:
    with _NOTE.open("a") as note:
        note.write(f"{path}\n")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    # A lock that needs no file of its own.
    fd = os.open(STATE.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)

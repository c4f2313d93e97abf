# SPDX-License-Identifier: MIT
"""Files that are whole after a crash or not there at all, and full disks told as what they are."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from strata.errors import ResourceExhausted, Unavailable

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """Turn an OSError of the body into `cannot DOING: reason`: ResourceExhausted on a full disk, else Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceExhausted(f"cannot {doing}: {error.strerror}; free some space and try again") from error
        raise Unavailable(f"cannot {doing}: {error.strerror or error}") from error


def replace(file: Path, content: bytes, mode: int = 0o600) -> None:
    """Write `content` in place of `file`, atomically and durably. Raises OSError; then nothing changed."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)  # one that was left behind would keep its mode
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as out:
            os.fchmod(fd, mode)  # whatever the umask is
            out.write(content)
            out.flush()
            os.fsync(fd)
        temporary.rename(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Make the directory's entries durable: a rename is not until then (fsync(2))."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

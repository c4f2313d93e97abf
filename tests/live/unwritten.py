# SPDX-License-Identifier: MIT
"""A file whose writes have not reached the disk yet, and a look at whether they have (cachestat(2), Linux 6.5)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_CACHESTAT = 451  # on every architecture
_PAGES = 16
_TRIES = 5
_libc = ctypes.CDLL(None, use_errno=True)


def stays_unwritten(directory: Path, work: Callable[[], object]) -> bool:
    """Whether a file can be written, then `work` be done, and the file still not be on the disk. Asked a few times,
    because anybody on the machine may write it out, too. Skips where that cannot be seen."""
    with _file(directory) as fd:
        if not _is_dirty_after(fd, lambda: None) or _is_dirty_after(fd, lambda: _libc.syncfs(fd)):
            pytest.skip("needs a disk that is written later than it is asked to")
        return any(_is_dirty_after(fd, work) for _ in range(_TRIES))


@contextlib.contextmanager
def _file(directory: Path) -> Iterator[int]:
    path = directory / "unwritten"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)
        path.unlink()


def _is_dirty_after(fd: int, work: Callable[[], object]) -> bool:
    os.pwrite(fd, b"x" * 4096 * _PAGES, 0)
    work()
    everything, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()  # struct cachestat_range, cachestat
    if _libc.syscall(ctypes.c_long(_CACHESTAT), fd, everything, found, 0) < 0:
        pytest.skip(f"needs cachestat(2), Linux 6.5: {os.strerror(ctypes.get_errno())}")
    return found[1] > 0  # nr_dirty

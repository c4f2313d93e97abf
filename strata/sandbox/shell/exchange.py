# SPDX-License-Identifier: MIT
"""Files and pipes in a session's exchange directory.

In system mode only Strata can write there. In user mode those inside are the same user, so nothing there is trusted to
be what was put there: links are never followed, what should be a pipe must be one, and nothing waits.
"""

from __future__ import annotations

import errno
import os
import stat

from strata.errors import ResourceExhausted

_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write(directory: int, name: str, data: bytes) -> None:
    """A file that those inside can read. Raises ResourceExhausted when there is no room for it."""
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _SAFELY, 0o644, dir_fd=directory)
        try:
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
    except OSError as error:
        raise ResourceExhausted(f"cannot hand {name} to the session's shell: {error.strerror}") from error


def pipe(directory: int, name: str, flags: int) -> int:
    """A FIFO, opened so that reads and writes do not wait. Raises OSError, also for what is none."""
    fd = os.open(name, flags | _SAFELY, dir_fd=directory)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no pipe", name)
    return fd


def subdirectory(directory: int, name: str) -> int:
    """A directory in it. Raises OSError."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | _SAFELY, dir_fd=directory)

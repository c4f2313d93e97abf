# SPDX-License-Identifier: MIT
"""A way down and up a tree that others may change meanwhile, with one open directory however deep it goes.

No symbolic link is followed. The way back is `..`, and it counts only if it leads to where we came from.
"""

from __future__ import annotations

import os

from strata.errors import Conflict

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Descent:
    """Where we are (`fd`, for `dir_fd` and listing; not the caller's to close) and how we got there (`names`)."""

    def __init__(self, fd: int) -> None:
        self.fd = os.dup(fd)
        self.names: list[bytes] = []
        self._above: list[tuple[int, int]] = []

    def __enter__(self) -> Descent:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def enter(self, name: bytes) -> None:
        """Go into a directory of this one. Raises OSError: ENOTDIR or ELOOP when it is none, or a link."""
        below = os.open(name, _DIRECTORY, dir_fd=self.fd)
        self._above.append(_identity(self.fd))
        self.names.append(name)
        os.close(self.fd)
        self.fd = below

    def leave(self) -> bytes:
        """Go back up; the name of what we left. Raises Conflict when it was moved while we were inside."""
        above = os.open("..", _DIRECTORY, dir_fd=self.fd)
        if _identity(above) != self._above[-1]:
            os.close(above)
            raise Conflict(f"cannot go on: {os.fsdecode(self.names[-1])!a} was moved meanwhile; try again")
        os.close(self.fd)
        self.fd = above
        self._above.pop()
        return self.names.pop()


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino

# SPDX-License-Identifier: MIT
"""Remove what a session left on disk: every name below a directory, never through a link, whoever owns it."""

from __future__ import annotations

import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def tree(path: str) -> None:
    """Remove a directory and all in it; one that is not there is fine. Raises OSError naming what would not go.

    Images that are still mounted somewhere lose their name now and their blocks when the last user is gone.
    """
    try:
        above = os.open(os.path.dirname(path) or ".", _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        _remove(above, os.path.basename(path))
    finally:
        os.close(above)


def _remove(above: int, name: str) -> None:
    try:
        kind = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(kind):
        os.unlink(name, dir_fd=above)
        return
    fd = os.open(name, _DIRECTORY, dir_fd=above)
    try:
        # Descriptors, not paths: what is swapped for a link meanwhile is not followed.
        for entry in os.listdir(fd):
            _remove(fd, entry)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=above)

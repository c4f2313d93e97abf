# SPDX-License-Identifier: MIT
"""Files that arrive here: written beside their place, which they take when they are whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def landing(target: str, mode: int = 0o666) -> Iterator[int]:
    """A descriptor to write to; what it holds is `target` when the context ends well, and nothing is left when not.

    `mode` is cut by the umask, as for any new file.
    """
    part = f"{target}.{os.getpid()}.part"
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield fd
        os.fchmod(fd, mode & ~umask())
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise
    finally:
        os.close(fd)


def umask() -> int:
    """The mask of this process, which can only be read by setting it (umask(2))."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

# SPDX-License-Identifier: MIT
"""The program that the launcher is, out of reach of what it starts.

A command that is called /proc/self/exe, or names it behind #!, is the launcher's own program once more and can write to
it wherever its user may (runc, CVE-2019-5736). In user mode that is this process's user, and a Python in his home is
his. Then the launcher runs from a copy in memory that nobody can change (memfd_create(2), F_SEAL_WRITE in fcntl(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


# Not by `executable=`: uvloop would make it argv[0], by which Python finds where it belongs.
_BECOME = "import os, sys; os.execv(sys.argv[1], sys.argv[2:])"


@contextlib.contextmanager
def command(*arguments: str) -> Iterator[tuple[str, ...]]:
    """The argument vector for Python with these arguments. It holds as long as the block. Raises OSError."""
    if not is_within_reach(sys.executable):
        yield sys.executable, *arguments
        return
    fd = os.memfd_create("strata-python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(sys.executable, "rb") as file:
            while os.sendfile(fd, file.fileno(), None, 1 << 24):
                pass
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        copy = f"/proc/{os.getpid()}/fd/{fd}"
        yield sys.executable, "-I", "-S", "-c", _BECOME, copy, sys.executable, *arguments
    finally:
        os.close(fd)


def is_within_reach(path: str) -> bool:
    """Whether commands of sessions could change a file: in user mode they are its user, else nobody on the machine."""
    own = os.geteuid()
    return own != 0 and (os.stat(path).st_uid == own or os.access(path, os.W_OK, effective_ids=True))

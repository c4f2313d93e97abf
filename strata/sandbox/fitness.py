# SPDX-License-Identifier: MIT
"""What of a sandbox works on this machine: `python -m strata.sandbox.fitness` prints JSON, feature → why not.

It is a program of its own because doors do not reach into rooms, and because it must be asked before any service runs.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys

from strata import config
from strata.errors import StrataError
from strata.paths import Paths
from strata.sandbox import seccomp
from strata.sandbox.launcher import kernel
from strata.sandbox.layers.probe import probe


def examine() -> dict[str, str]:
    """Empty for what works; the layers' features (strata.sandbox.layers.probe), and seccomp."""
    return {**probe(near=_place()), "seccomp": filtering()}


def _place() -> str:
    """Where sessions will lie; where the settings cannot be read, which others tell of, the usual place."""
    paths = Paths.from_env()
    try:
        root = config.load(paths).sandbox.session_root
    except StrataError:
        root = ""
    return root or str(paths.state_dir / "sandbox")


def filtering() -> str:
    """Why system calls cannot be filtered, "" when they can: tried in a child, which may not make a namespace then."""
    try:
        program = seccomp.program()
    except StrataError as error:
        return error.message
    child = os.fork()
    if child == 0:
        os._exit(_filtered(program))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    known = {0: "", _UNHEEDED: "the kernel took the filter and does not heed it"}
    return known.get(code, f"the kernel takes no filter: {os.strerror(abs(code))}")


_UNHEEDED = 255


def _filtered(program: bytes) -> int:
    """0 when a call that the filter denies is denied by it; else what went wrong, as an exit code."""
    try:
        kernel.set_no_new_privileges()
        kernel.install_seccomp(program)
    except OSError as error:
        return error.errno or errno.EIO
    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.unshare(kernel.NEWUSER) and ctypes.get_errno() == errno.EPERM else _UNHEEDED


if __name__ == "__main__":
    sys.stdout.write(json.dumps(examine()) + "\n")

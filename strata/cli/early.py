# SPDX-License-Identifier: MIT
"""The first thing that `strata-ctl run` does, before it loads what it needs: it connects to the sandbox service.

The service then begins what takes the kernel a while (strata.sandbox.priming), and both go on at once. Nothing but the
standard library's `os` and `socket` is loaded for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

_knocked: list[socket.socket] = []


def knock(argv: Sequence[str]) -> None:
    """Connect, where what was typed is a run. Whatever goes wrong is told when the connection is needed."""
    if argv[:1] != ["run"]:
        return
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path(os.environ))
    except OSError:
        sock.close()
    else:
        _knocked.append(sock)


def take() -> socket.socket | None:
    """The connection, once; None where there is none."""
    return _knocked.pop() if _knocked else None


def path(env: Mapping[str, str]) -> str:
    """The socket's, as strata.paths has it, whose imports take longer than a connection."""
    uid = os.geteuid()
    usual = "/run/strata" if uid == 0 else f"{env.get('XDG_RUNTIME_DIR', f'/run/user/{uid}')}/strata"
    return os.path.join(os.path.normpath(env.get("STRATA_RUNTIME_DIR") or usual), "sandbox.sock")

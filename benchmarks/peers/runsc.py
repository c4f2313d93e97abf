# SPDX-License-Identifier: MIT
"""gVisor's `runsc do`: a kernel of its own in user space, on the machine's files, writes kept in memory."""

from __future__ import annotations

import signal

from benchmarks.peers import tools
from benchmarks.peers.contract import Argv, Box, Isolation, Peer
from benchmarks.peers.shelled import Recipe, opener


def start(box: Box, command: Argv) -> Argv:
    state = box.tools.scratch / "runsc"
    return [tools.find(box.tools, "runsc"), "--root", str(state), "--network=none", "do", *command]


PEER = Peer(
    name="gVisor runsc do",
    what="its own kernel in user space (ptrace), the machine's files, writes kept in memory; stronger than all others "
    "here against holes in the machine's kernel",
    isolation=Isolation(mounts=True, processes=True, network=True, users=True, filter=True),
    version=tools.version("runsc"),
    missing=tools.lacking("runsc"),
    open=opener(Recipe(start=start, prepare=lambda box: None, how=signal.SIGTERM)),
)

# SPDX-License-Identifier: MIT
"""bubblewrap as people call it: the machine's files read-only, all namespaces, nothing else."""

from __future__ import annotations

from benchmarks.peers import tools
from benchmarks.peers.contract import Argv, Box, Isolation, Peer
from benchmarks.peers.shelled import Recipe, opener


def start(box: Box, command: Argv) -> Argv:
    return [
        *(tools.find(box.tools, "bwrap"), "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
        *("--unshare-net", "--unshare-cgroup", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc"),
        *("--dev", "/dev", "--tmpfs", "/tmp", "--", *command),
    ]


PEER = Peer(
    name="bwrap",
    what="bubblewrap: all namespaces, the machine's files read-only; root inside is root outside without capabilities",
    isolation=Isolation(mounts=True, processes=True, network=True),
    version=tools.version("bwrap"),
    missing=tools.lacking("bwrap", root=False),
    open=opener(Recipe(start=start, prepare=lambda box: None)),
)

# SPDX-License-Identifier: MIT
"""deepagents-sandbox: bubblewrap and a cgroup around each command, a directory that stays."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers import library
from benchmarks.peers.contract import Isolation, Peer

_V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()

PEER = Peer(
    name="deepagents-sandbox",
    what="a directory that stays, a new bubblewrap for each command"
    + ("" if _V2 else "; its limits want cgroup v2 alone, which this machine has not"),
    isolation=Isolation(mounts=True, processes=True, network=True, limits=_V2, session=True),
    version=library.version("deepagents-sandbox"),
    missing=library.missing("deepagents-sandbox", "bwrap"),
    open=library.opener("deepagents"),
    has_line=False,
    stays=False,
    around=library.around("deepagents"),
)

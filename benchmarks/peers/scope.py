# SPDX-License-Identifier: MIT
"""systemd-run --scope: a cgroup with limits, and no walls."""

from __future__ import annotations

from benchmarks.peers import tools, units
from benchmarks.peers.contract import Isolation, Peer
from benchmarks.peers.shelled import Recipe, opener

PEER = Peer(
    name="systemd-run --scope",
    what="a shell in a scope with MemoryMax= and TasksMax=; sees and may do what its caller may",
    isolation=Isolation(limits=True),
    version=tools.version("systemd-run"),
    missing=tools.lacking("systemd-run"),
    open=opener(Recipe(start=units.scope, prepare=lambda box: None, end=units.stop("scope"))),
)

# SPDX-License-Identifier: MIT
"""sandlock: Landlock and system call notifications, no namespaces, no root."""

from __future__ import annotations

from benchmarks.peers import library
from benchmarks.peers.contract import Isolation, Peer

PEER = Peer(
    name="sandlock",
    what="Landlock and seccomp, watched by the caller's own process; the machine's files; limits by that watcher",
    isolation=Isolation(filter=True, limits=True),
    version=library.version("sandlock"),
    missing=library.missing("sandlock"),
    open=library.opener("sandlock"),
    around=library.around("sandlock"),
)

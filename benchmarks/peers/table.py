# SPDX-License-Identifier: MIT
"""All peers, in the order of the report."""

from __future__ import annotations

from benchmarks.peers import (
    bwrap,
    crun,
    deepagents,
    nspawn,
    pieces,
    podman,
    runc,
    runsc,
    sandlock,
    scope,
    service,
    srt,
    strata,
)
from benchmarks.peers.contract import Peer

OURS = strata.OURS

PEERS: tuple[Peer, ...] = (
    strata.HTTP,
    pieces.PEER,
    runc.PEER,
    crun.PEER,
    podman.PEER,
    nspawn.PEER,
    service.PEER,
    bwrap.PEER,
    scope.PEER,
    runsc.PEER,
    srt.PEER,
    sandlock.PEER,
    deepagents.PEER,
)

# SPDX-License-Identifier: MIT
"""All peers, in the order of the report."""

from __future__ import annotations

from benchmarks.peers import (
    bwrap,
    crun,
    deepagents,
    disks,
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
_UNBOUND: tuple[Peer, ...] = (pieces.PEER, runc.PEER, crun.PEER, podman.PEER, nspawn.PEER)

PEERS: tuple[Peer, ...] = (
    strata.HTTP,
    *map(disks.own, _UNBOUND),
    *_UNBOUND,
    service.PEER,
    bwrap.PEER,
    scope.PEER,
    runsc.PEER,
    srt.PEER,
    sandlock.PEER,
    deepagents.PEER,
)

# SPDX-License-Identifier: MIT
"""The gate of a room's server: who may call which method (strata.types.Access)."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterable, Iterator

from strata.config import OperatorSettings
from strata.errors import Unauthenticated
from strata.policy.authorize import authorize
from strata.policy.capability import Claims
from strata.policy.ratelimit import Buckets
from strata.policy.trust import Trust
from strata.sockets.method import Call
from strata.types import Access, Peer


class Gate:
    """Callable as `Server(gate=…)`. Owns the rate buckets, which the room's handlers charge too."""

    def __init__(self, trust: Trust, operators: OperatorSettings, buckets: Buckets | None = None) -> None:
        self.trust = trust
        self.buckets = buckets or Buckets()
        self._uids = frozenset((0, os.geteuid(), *operators.uids))
        self._gids = frozenset((*operators.gids, *numbers_of(operators.groups)))
        trust.listeners.append(self.buckets.drop)

    def __call__(self, access: Access, call: Call) -> Claims | None:
        """The claims of the token that let the call pass, or None when none was needed.

        Raises Unauthenticated (no or bad credentials), PermissionDenied, Unavailable, ResourceExhausted.
        """
        if access is Access.OPEN or (access is Access.OPERATOR and self.is_operator(call.peer)):
            return None  # a token given all the same is not looked at, as with the reference
        if not call.token:
            raise Unauthenticated("token required")
        claims = self.trust.verify(call.token)
        if access is Access.OPERATOR:
            authorize(claims, call.method, buckets=self.buckets)
        return claims

    def is_operator(self, peer: Peer) -> bool:
        """Whether the kernel says that the peer is root, our own user, or a configured operator."""
        return peer.uid in self._uids or peer.gid in self._gids or not self._gids.isdisjoint(peer.groups)


def numbers_of(groups: Iterable[str]) -> Iterator[int]:
    """The numbers of those groups that this machine has, as of now. Who is in them is asked of nobody: the kernel says
    at each connection which groups its peer is in (SO_PEERGROUPS, unix(7))."""
    for name in groups:
        try:
            yield grp.getgrnam(name).gr_gid
        except KeyError:
            continue

# SPDX-License-Identifier: MIT
"""Words that more than one floor uses."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Peer(NamedTuple):
    """Who is on the other end of a unix socket, as the kernel says (SO_PEERCRED and SO_PEERGROUPS, unix(7)).

    `pid` is 0 when the peer lives in a PID namespace that ours cannot see.
    """

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class Access(StrEnum):
    """Who may call a method; one word beside each row of a METHODS table."""

    OPEN = "open"  # any peer that can connect
    OPERATOR = (
        "operator"  # root, the daemon's own uid, a configured operator, or a token that carries the method's right
    )
    TOKEN = "token"  # noqa: S105  a verified, unexpired, unrevoked token; the handler then applies the policy to the path


class ServiceState(StrEnum):
    """The seven states of a service. `Unhealthy` is not one: what stops answering is killed and becomes Crashed."""

    DECLARED = "Declared"
    STARTING = "Starting"
    HEALTHY = "Healthy"
    CRASHED = "Crashed"
    RESTARTING = "Restarting"
    STOPPED = "Stopped"
    QUARANTINED = "Quarantined"

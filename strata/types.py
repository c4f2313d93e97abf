# SPDX-License-Identifier: MIT
"""Words that more than one floor uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias

JsonValue: TypeAlias = "None | bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue]"
JsonObject: TypeAlias = Mapping[str, JsonValue]


class Peer(NamedTuple):
    """Who is on the other end of a unix socket, as the kernel says (SO_PEERCRED, unix(7)).

    `pid` is 0 when the peer lives in a PID namespace that ours cannot see.
    """

    pid: int
    uid: int
    gid: int


class ServiceState(StrEnum):
    """The seven states of a service. `Unhealthy` is not one: what stops answering is killed and becomes Crashed."""

    DECLARED = "Declared"
    STARTING = "Starting"
    HEALTHY = "Healthy"
    CRASHED = "Crashed"
    RESTARTING = "Restarting"
    STOPPED = "Stopped"
    QUARANTINED = "Quarantined"

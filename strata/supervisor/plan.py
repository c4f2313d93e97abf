# SPDX-License-Identifier: MIT
"""What to do so that what runs is what is declared: pure functions from what is wanted and seen to actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from strata.types import ServiceState as S

Verb: TypeAlias = Literal["start", "restart", "stop"]


class Action(msgspec.Struct, frozen=True):
    """One step of a plan."""

    verb: Verb
    service: str
    reason: str


class Seen(msgspec.Struct, frozen=True):
    """What a plan needs to know of one service."""

    state: S
    digest: str  # of what runs, "" when nothing does
    stop_wished: bool = False
    attempted: bool = False


def to_start(seen: Mapping[str, Seen], after: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Services to start now: declared, never tried, not wished stopped, every dependency Healthy. In given order."""
    return [
        name
        for name, one in seen.items()
        if one.state is S.DECLARED
        and not one.attempted
        and not one.stop_wished
        and all(seen[other].state is S.HEALTHY for other in after[name] if other in seen)
    ]


def reload_plan(declared: Mapping[str, str], seen: Mapping[str, Seen]) -> list[Action]:
    """Steps from what is seen to what is declared (name → digest): stops first, in reverse order, then starts.

    A service that the operator stopped stays stopped, whatever its manifest says now.
    """
    stops = [Action("stop", name, "its manifest is gone") for name in reversed(list(seen)) if name not in declared]
    return stops + [action for name, digest in declared.items() for action in _for(name, digest, seen.get(name))]


def _for(name: str, digest: str, one: Seen | None) -> Iterable[Action]:
    if one is None:
        return [Action("start", name, "its manifest is new")]
    if one.stop_wished:
        return []
    if one.digest and one.digest != digest:
        return [Action("restart", name, "its manifest changed")]
    if not one.digest and one.state in (S.DECLARED, S.CRASHED):
        return [Action("start", name, "it is not running")]
    return []

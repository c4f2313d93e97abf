# SPDX-License-Identifier: MIT
"""How many sessions there may be."""

from __future__ import annotations

from collections.abc import Set

from strata.errors import ResourceExhausted
from strata.sandbox.ids import Key
from strata.settings import SandboxSettings


def check_room(key: Key, taken: Set[Key], settings: SandboxSettings) -> None:
    """Whether one more may be opened beside those. Raises ResourceExhausted."""
    most, of_owner = settings.max_sessions, settings.owner.max_sessions
    if len(taken) >= most:
        raise ResourceExhausted(f"strata: max sessions ({most}) reached; close some")
    if of_owner and sum(one.owner == key.owner for one in taken) >= of_owner:
        raise ResourceExhausted(f"strata: max sessions of {key.owner} ({of_owner}) reached; close some")

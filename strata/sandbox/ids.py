# SPDX-License-Identifier: MIT
"""Who a session belongs to and what it is called: validated once, here, for all doors.

Owner and session are never joined into one string but where systemd needs a unit's name, and that joint is injective:
escaping leaves no `-` in either part (systemd.unit(5), STRING ESCAPING).
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from strata.errors import InvalidArgument
from strata.units.names import escape, unescape

SLICE = "strata-sandbox.slice"
"""What the slices of all owners are in; systemd makes it with the first of them."""

LONGEST_UNIT = 255  # UNIT_NAME_MAX, systemd's basic/unit-name.h
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SCOPE = re.compile(r"strata-sandbox-([^-]+)-([^-]+)\.scope", re.ASCII)


class Key(NamedTuple):
    """A session's name: both parts have passed `key`."""

    owner: str
    session: str

    @property
    def scope(self) -> str:
        """The unit that holds its processes."""
        return f"strata-sandbox-{escape(self.owner)}-{escape(self.session)}.scope"

    @property
    def slice(self) -> str:
        """The unit that all sessions of the owner are in."""
        return owner_slice(self.owner)

    @property
    def label(self) -> str:
        """As people and the journal name it: `alice/task-001`; neither part may hold a slash."""
        return f"{self.owner}/{self.session}"


def owner_slice(owner: str) -> str:
    """`strata-sandbox-OWNER.slice`, which systemd puts below strata-sandbox.slice and strata.slice."""
    return f"strata-sandbox-{escape(owner)}.slice"


@functools.lru_cache(1024)
def key(owner: str, session: str) -> Key:
    """Raises InvalidArgument for a missing or unusable id."""
    if not owner or not session:
        raise InvalidArgument("owner_id and session_id are required")
    found = Key(check(owner, "owner_id"), check(session, "session_id"))
    if len(found.scope) > LONGEST_UNIT:
        raise InvalidArgument("cannot use these ids: together they are too long; shorten one", param="session_id")
    return found


def check(text: str, param: str) -> str:
    """`text` itself if it may be an owner's or a session's id. Raises InvalidArgument."""
    if not _ID.fullmatch(text):
        raise InvalidArgument(
            f"cannot use {text[:80]!r} as {param}: "
            "it must be 1 to 64 of A-Z a-z 0-9 . _ - and start with a letter or digit",
            param=param,
        )
    return text


def of_scope(unit: str) -> Key | None:
    """The session of a scope, or None for a unit that is not a session's."""
    match = _SCOPE.fullmatch(unit)
    if match is None:
        return None
    try:
        found = key(unescape(match[1]), unescape(match[2]))
    except InvalidArgument:
        return None
    return found if found.scope == unit else None

# SPDX-License-Identifier: MIT
"""Which session a person means: `OWNER/SESSION`, `SESSION` of his own, or nothing at all for his `default` one."""

from __future__ import annotations

import os
from typing import NamedTuple

from strata.errors import InvalidArgument

SESSION = "default"


class Place(NamedTuple):
    """A session as typed. What may stand in an id is the sandbox service's to say."""

    owner: str
    session: str

    def __str__(self) -> str:
        return f"{self.owner}/{self.session}"

    def params(self) -> dict[str, str]:
        """As every method of the sandbox service takes it."""
        return {"owner": self.owner, "session": self.session}


def place(text: str = "") -> Place:
    """Read what was typed. Raises InvalidArgument."""
    owner, slash, session = text.partition("/")
    if not slash:
        return Place(user(), text or SESSION)
    if not owner or not session or "/" in session:
        raise InvalidArgument(f"cannot use {text!r} as a session: expected OWNER/SESSION, such as alice/task-001")
    return Place(owner, session)


def user() -> str:
    """The owner of what names none: the user's name, or `uid-N` where the number has none."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid-{os.geteuid()}"

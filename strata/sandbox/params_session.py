# SPDX-License-Identifier: MIT
"""Parameters of the methods on whole sessions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from strata.errors import InvalidArgument
from strata.sandbox.ids import Key, check, key

Owner = Annotated[str | None, Meta(description="whose session; also spelt owner_id, user_id, uid")]
SessionId = Annotated[str | None, Meta(description="which of the owner's sessions; also spelt session_id, sid")]
Alias = Annotated[str | None, Meta(description="the same, as the predecessor spelt it")]


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of every method on one session."""

    owner: Owner = None
    session: SessionId = None
    owner_id: Alias = None
    user_id: Alias = None
    uid: Alias = None
    session_id: Alias = None
    sid: Alias = None

    @property
    def key(self) -> Key:
        """Raises InvalidArgument: ids missing, unusable, or two spellings that disagree."""
        return key(self._owner(), _one("session", self.session, self.session_id, self.sid))

    @property
    def whose(self) -> str:
        """The owner, for methods that need no session. Raises InvalidArgument as `key`."""
        owner = self._owner()
        if not owner:
            raise InvalidArgument("owner_id is required", param="owner_id")
        return check(owner, "owner_id")

    def _owner(self) -> str:
        return _one("owner", self.owner, self.owner_id, self.user_id, self.uid)


def _one(what: str, *spellings: str | None) -> str:
    given = {spelling for spelling in spellings if spelling}
    if len(given) > 1:
        raise InvalidArgument(f"cannot tell which {what} is meant: {', '.join(sorted(given))} were given", param=what)
    return given.pop() if given else ""


class CreateParams(Addressed, frozen=True, kw_only=True):
    """sandbox.create. What is left out is as the template, then the settings, say."""

    template: Annotated[str | None, Meta(description="name of a template of the settings")] = None
    base: Annotated[str | None, Meta(description="directory of a root tree; operators only")] = None
    network: Annotated[str | None, Meta(description="isolated, or host where the settings allow it")] = None
    driver: Annotated[str | None, Meta(description="auto, fuse, kernel or none")] = None
    env: Annotated[dict[str, str] | None, Meta(description="environment of every command")] = None
    labels: Annotated[dict[str, str] | None, Meta(description="free words to find it by")] = None
    limits: Annotated[
        dict[str, Any] | None,
        Meta(description="memory_max, tasks_max, cpu_quota, disk_max, inodes_max, files_max"),
    ] = None
    ttl: Annotated[str | None, Meta(description="closed when idle for so long, such as 30m")] = None
    lifetime: Annotated[str | None, Meta(description="ended after so long, whatever it does")] = None
    from_snapshot: Annotated[str | None, Meta(description="name of a snapshot of the same owner to start from")] = None


class ExtendParams(Addressed, frozen=True, kw_only=True):
    """sandbox.extend."""

    ttl: Annotated[str | None, Meta(description="idle time from now on, such as 1h")] = None
    lifetime: Annotated[str | None, Meta(description="refused (8): PID 1 holds it since the session was opened")] = None


class ListParams(msgspec.Struct, frozen=True, kw_only=True):
    """sandbox.list."""

    owner: Annotated[str | None, Meta(description="only this owner's")] = None
    labels: Annotated[dict[str, str] | None, Meta(description="only those that have all of these")] = None
    state: Annotated[str | None, Meta(description="only those in this state: open or frozen")] = None

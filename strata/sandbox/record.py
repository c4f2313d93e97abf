# SPDX-License-Identifier: MIT
"""What is known of a session and cannot be asked of systemd or the kernel: one JSON file in its directory.

It lives as long as the session's processes can: it need not survive a power cut, only a death of the room, so it is
written whole but not synced. The room alone may read it: the variables of a session hold secrets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from strata import processes, values
from strata.config import LimitSettings
from strata.errors import UNREADABLE, StrataError
from strata.sandbox.ids import Key, key

FILE = "session.json"
MODE = 0o600


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it was opened. Times in seconds since 1970, durations in seconds."""

    owner: str
    session: str
    created_at: float
    uid_base: int
    mapped: bool  # a range of user ids of its own, not the caller's single one
    base: str
    tools: tuple[str, ...] = ()
    driver: str
    network: str
    limits: LimitSettings
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    template: str = ""
    layers: tuple[str, ...] = ()
    ttl_seconds: float
    lifetime_seconds: float
    expires_at: float
    shell: str = ""
    warnings: tuple[str, ...] = ()
    init_pid: int = 0
    init_start: int = 0  # field 22 of /proc/PID/stat (proc(5)): tells it from a later process of that number

    @property
    def key(self) -> Key:
        """Whose session it is."""
        return key(self.owner, self.session)


def save(directory: Path, record: Record) -> None:
    """Replace the record of the session in `directory`. Raises OSError."""
    new = directory / f".{FILE}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    with open(fd, "wb") as file:
        os.fchmod(fd, MODE)  # one that was left behind keeps its own
        file.write(msgspec.json.encode(record))
    new.replace(directory / FILE)


class Unread(msgspec.Struct, frozen=True):
    """A record of a form that this version does not know, as far as every form is the same. 0: nothing is known."""

    uid_base: int = 0
    init_pid: int = 0
    init_start: int = 0


def load(directory: Path) -> Record | Unread | None:
    """The record in `directory`, or None where there is none, or a damaged one. What an older or newer version has
    written and this one cannot use is Unread: fields are only ever added, with a default, but one may have to go."""
    try:
        content = (directory / FILE).read_bytes()
        return _decoded(content) or msgspec.json.decode(content, type=Unread)
    except (OSError, *UNREADABLE):
        return None


def _decoded(content: bytes) -> Record | None:
    try:
        record = msgspec.json.decode(content, type=Record)
        record.key  # noqa: B018  raises for ids that no door would have let in
        return record
    except (*UNREADABLE, StrataError):
        return None


def start_of(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 when there is none of that number."""
    found = processes.stat(pid)
    return found.start if found else 0


def still_runs(record: Record | Unread) -> bool:
    """Whether the session's first process is the one that was recorded."""
    return record.init_pid > 0 and start_of(record.init_pid) == record.init_start


def root_plan(record: Record, directory: Path) -> dict[str, Any]:
    """What the root of a session is built from, as the launcher's forks take it."""
    return {
        "directory": str(directory),
        "base": record.base,
        "tools": list(record.tools),
        "driver": record.driver,
        "layers": list(record.layers),
        "disk_bytes": values.size(record.limits.disk_max),
        "inodes": record.limits.inodes_max,
        "uid_base": record.uid_base,
        "mapped": record.mapped,
        "network": record.network,
        "memory_bytes": values.size(record.limits.memory_max),
    }

# SPDX-License-Identifier: MIT
"""Which directories a sealed service could not reach, and what opens just them.

A sealed service runs as a user of its own (DynamicUser=, systemd.exec(5)), which hides /home, /root and /run/user and
gives it another /tmp. The code, the sockets or the configuration may lie there, or below a directory that only its
owner may enter. Then the closed directory is covered with an empty one, and only what is needed is bound into it.
That holds for a closed home too: what ProtectHome=tmpfs puts there is as closed as the home was, in systemd 257.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple, TypeAlias

from strata.errors import InvalidArgument

ModeOf: TypeAlias = Callable[[str], int | None]

HOMES = ("/home", "/root", "/run/user")
TEMPORARY = ("/tmp", "/var/tmp")


class Access(NamedTuple):
    """`homes`: some path lies in a home. `covers`: closed directories to cover. `binds`: paths to bind read-only."""

    homes: bool
    covers: tuple[str, ...]
    binds: tuple[str, ...]


def mode_of(path: str) -> int | None:
    """Permission bits of a directory, None if it is not there."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None


def access(paths: tuple[str, ...], mode_of: ModeOf = mode_of) -> Access:
    """What a service needs so that it can read `paths` (absolute, normalised) whatever lies above them.

    Raises InvalidArgument for a path that a unit could not name.
    """
    covers: dict[str, None] = {}
    binds: dict[str, None] = {}
    homes = False
    for path in paths:
        hidden_home, hidden_tmp = below(path, HOMES), below(path, TEMPORARY)
        closed = None if hidden_tmp else closed_ancestor(path, mode_of)
        if hidden_home and closed not in HOMES:
            closed = None  # what is below a home is not there at all
        homes = homes or hidden_home
        if closed:
            covers[closed] = None
        if hidden_home or hidden_tmp or closed:
            binds[_nameable(path)] = None
    return Access(homes, tuple(covers), tuple(binds))


def closed_ancestor(path: str, mode_of: ModeOf = mode_of) -> str | None:
    """The topmost directory above `path` that others may not enter (no x for others)."""
    for parent in reversed(PurePosixPath(path).parents):
        mode = mode_of(str(parent))
        if mode is not None and not mode & stat.S_IXOTH:
            return str(parent)
    return None


def below(path: str, directories: tuple[str, ...]) -> bool:
    """Is `path` one of `directories` or inside one?"""
    return any(path == directory or path.startswith(directory + "/") for directory in directories)


def _nameable(path: str) -> str:
    if ":" in path or any(ord(character) < 32 for character in path):
        raise InvalidArgument(
            f"cannot show {path!r} to a service: move it to a path without colons and control characters"
        )
    return path

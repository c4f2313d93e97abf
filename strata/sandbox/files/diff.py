# SPDX-License-Identifier: MIT
"""What a session has changed against what it was opened on: the upper layer, read beside the merged lower ones.

Depth first, names by their bytes, so that a page goes on where the last one ended. An entry that the kernel copied up
and nobody changed is no change; a directory that is gone is one change, whatever was in it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from strata import files
from strata.sandbox.files import compare, overlay, places
from strata.sandbox.files.compare import Difference, Pair, Status
from strata.sandbox.files.overlay import Marks
from strata.sandbox.files.walk import Descent

PAGE_BYTES: Final = 524_288
DEEPEST: Final = 4096
"""Bytes of a path: what is below a longer one has no path that a program could open it by, and is not told."""

Path = tuple[bytes, ...]


class Layers(NamedTuple):
    """Open directories: the upper layer, and all below it as one tree. `uid_base` is who root is in the lower one."""

    upper: int
    lower: int
    marks: Marks
    uid_base: int = 0


class Change(NamedTuple):
    """`kind`: added, modified or removed. `metadata`: only the mode, the owner or attributes differ. `deeper`: what is
    below was not looked at."""

    path: Path
    kind: str
    status: Status
    metadata: bool = False
    deeper: bool = False


class _Level(NamedTuple):
    """A directory on the way: names still to look at; whether there is one below it; whether it hides that."""

    names: Iterator[bytes]
    shared: bool
    opaque: bool


def page(layers: Layers, after: Path = ()) -> tuple[list[dict[str, Any]], Path | None]:
    """Changes behind the path `after`, as many as one answer holds; the last path when they are not all."""
    shown: list[dict[str, Any]] = []
    budget, last = PAGE_BYTES, after
    for change in changes(layers, after):
        told = _told(change)
        budget -= len(json.dumps(told)) + 1
        if budget < 0 and shown:
            return shown, last
        shown.append(told)
        last = change.path
    return shown, None


def _told(change: Change) -> dict[str, Any]:
    told: dict[str, Any] = places.named(b"/" + b"/".join(change.path), "path")
    told |= {"kind": change.kind, "type": files.kind(change.status.mode), "size": change.status.size}
    return told | {flag: True for flag in ("metadata", "deeper") if getattr(change, flag)}


def changes(layers: Layers, after: Path = ()) -> Iterator[Change]:
    """Every change whose path comes behind `after`. Raises OSError, and Conflict when the tree is moved about."""
    with Descent(layers.upper) as upper, Descent(layers.lower) as lower:
        walk = _Walk(layers, upper, lower, after)
        levels = [walk.level(shared=True, opaque=False)]
        while levels:
            name = next(levels[-1].names, None)
            if name is None:
                walk.leave(levels.pop(), bool(levels))
                continue
            change, below = walk.look(levels[-1], name)
            if change is not None and change.path > after:
                yield change
            if below is not None:
                levels.append(below)


class _Found(NamedTuple):
    """What one name comes to: a change, and the level below it when there is one to go into."""

    change: Change | None
    below: _Level | None = None


_NOTHING = _Found(None)


class _Walk:
    """The two trees, side by side."""

    def __init__(self, layers: Layers, upper: Descent, lower: Descent, after: Path) -> None:
        self.marks, self.uid_base = layers.marks, layers.uid_base
        self.upper, self.lower, self.after = upper, lower, after

    def level(self, shared: bool, opaque: bool) -> _Level:
        """The directory that both are in now."""
        names = {os.fsencode(name) for name in os.listdir(self.upper.fd)}
        if shared and (opaque or self.marks.dots):
            names |= {os.fsencode(name) for name in os.listdir(self.lower.fd)}
        here = tuple(self.upper.names)
        if self.after[: len(here)] == here and len(self.after) > len(here):
            names = {name for name in names if name >= self.after[len(here)]}
        return _Level(iter(sorted(names)), shared, opaque)

    def leave(self, level: _Level, above: bool) -> None:
        if above:
            self.upper.leave()
            if level.shared:
                self.lower.leave()

    def look(self, level: _Level, name: bytes) -> _Found:
        """What has become of one name."""
        if overlay.hidden_name(name, self.marks) is not None:
            return _NOTHING  # told at the name that it hides
        try:
            return self._look(level, name)
        except (FileNotFoundError, NotADirectoryError):
            return _NOTHING  # gone while we looked
        except OSError as error:
            if error.errno not in (errno.ENXIO, errno.ELOOP):
                raise
            return _NOTHING  # another thing now

    def _look(self, level: _Level, name: bytes) -> _Found:
        above = compare.status(self.upper.fd, name)
        below = compare.status(self.lower.fd, name, self.uid_base) if level.shared else None
        path = (*self.upper.names, name)
        whiteout = above is not None and overlay.is_whiteout(self.upper.fd, name, above, self.marks)
        if above is None or whiteout:
            gone = whiteout or level.opaque or self._is_hidden(name)
            return _Found(Change(path, "removed", below) if gone and below else None)
        if stat.S_ISDIR(above.mode):
            return self._directory(path, above, below)
        return _Found(self._file(path, above, below))

    def _is_hidden(self, name: bytes) -> bool:
        return self.marks.dots and compare.status(self.upper.fd, overlay.DOTS + name) is not None

    def _file(self, path: Path, above: Status, below: Status | None) -> Change | None:
        if below is None:
            return Change(path, "added", above)
        found = compare.differ(Pair(self.upper.fd, self.lower.fd, path[-1]), above, below)
        if found is Difference.NONE:
            return None
        return Change(path, "modified", above, found is Difference.METADATA)

    def _directory(self, path: Path, above: Status, below: Status | None) -> _Found:
        change = None
        shared = below is not None and stat.S_ISDIR(below.mode)
        if below is None:
            change = Change(path, "added", above)
        elif not shared:
            change = Change(path, "modified", above)
        elif not compare.same_access(above, below):
            change = Change(path, "modified", above, metadata=True)
        if sum(map(len, path)) + len(path) > DEEPEST:
            return _Found((change or Change(path, "modified", above))._replace(deeper=True))
        return _Found(change, self._enter(path[-1], shared))

    def _enter(self, name: bytes, shared: bool) -> _Level:
        self.upper.enter(name)
        if shared:
            self.lower.enter(name)
        return self.level(shared, shared and overlay.is_opaque(self.upper.fd, self.marks))

# SPDX-License-Identifier: MIT
"""A session's layers, open: from here on there are descriptors and no paths of the host's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from strata.errors import NotFound
from strata.sandbox.files.overlay import MARKS, Marks
from strata.sandbox.layers import view
from strata.sandbox.layers.plan import ROOT


class Stage(NamedTuple):
    """Open directories: the upper layer, all below it as one tree, and both together. Ids in the upper one are those
    inside; in the others, root inside is `lower_base` and `root_base`."""

    upper: int
    lower: int
    root: int
    marks: Marks
    lower_base: int
    root_base: int


@contextmanager
def entered(arguments: dict[str, Any]) -> Iterator[Stage]:
    """Join the stage of the session that `init_pid` is the first process of, and which `root` was the plan of."""
    try:
        joined = view.mounted(arguments["root"], arguments["init_pid"])
        with joined as seen:
            merged = seen.writes != "none"  # then the disk holds all that is kept
            top = ROOT if merged else seen.upper
            with _directory(seen.upper) as upper, _directory(seen.lower) as lower, _directory(top) as root:
                marks = _marks(seen.writes, bool(arguments["root"]["mapped"]))
                yield Stage(upper, lower, root, marks, seen.lower_root, seen.lower_root if merged else 0)
    except ProcessLookupError as error:
        raise NotFound("session not found: it has just ended") from error


@contextmanager
def _directory(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _marks(writes: str, mapped: bool) -> Marks:
    if writes == "fuse":
        return MARKS["fuse" if mapped else "fuse-user"]
    return MARKS["kernel-user" if writes == "kernel-user" else "kernel"]

# SPDX-License-Identifier: MIT
"""Whether a file of the upper layer is still what it was below. To be copied up, as an open for writing does, is no
change."""

from __future__ import annotations

import errno
import os
import stat
from enum import Enum
from typing import Final, NamedTuple

from strata.sandbox.files import overlay

_CHUNK: Final = 262_144
_RANGE: Final = 65_536
_NOBODY: Final = 65_534  # what the kernel shows too (user_namespaces(7))


class Status(NamedTuple):
    """What is known of a file without opening it; ids as the sandbox has them."""

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    device: int
    blocks: int


class Difference(Enum):
    """How two files differ."""

    NONE = "none"
    METADATA = "metadata"
    CONTENT = "content"


class Pair(NamedTuple):
    """One name in two open directories."""

    upper: int
    lower: int
    name: bytes


def status(directory: int, name: bytes, uid_base: int = 0) -> Status | None:
    """Status of a name, a link itself; None when it is not there. The sandbox's users begin at `uid_base` here."""
    try:
        return own(os.stat(name, dir_fd=directory, follow_symlinks=False), uid_base)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):  # what is too long to be a name here is not there
            raise
        return None


def own(found: os.stat_result, uid_base: int = 0) -> Status:
    """A status with the ids that the sandbox's users have inside; who is outside of its range is nobody there."""
    ids = _inside(found.st_uid, uid_base), _inside(found.st_gid, uid_base)
    return Status(found.st_mode, *ids, found.st_size, found.st_mtime_ns, found.st_rdev, found.st_blocks)


def _inside(number: int, base: int) -> int:
    return number - base if base <= number < base + _RANGE else _NOBODY


def differ(pair: Pair, above: Status, below: Status) -> Difference:
    """Compare two that are no directories, or not both. No link is followed. Raises OSError."""
    if stat.S_IFMT(above.mode) != stat.S_IFMT(below.mode) or _content_differs(pair, above, below):
        return Difference.CONTENT
    return Difference.METADATA if _metadata_differs(pair, above, below) else Difference.NONE


def same_access(above: Status, below: Status) -> bool:
    """What is left to compare of directories: their times change with all that happens in them."""
    return above[:3] == below[:3]


def _content_differs(pair: Pair, above: Status, below: Status) -> bool:
    if stat.S_ISLNK(above.mode):
        return os.readlink(pair.name, dir_fd=pair.upper) != os.readlink(pair.name, dir_fd=pair.lower)
    if not stat.S_ISREG(above.mode):
        return above.device != below.device
    # The same time proves nothing: whoever writes can set it back.
    return (above.size, above.mtime_ns) != (below.size, below.mtime_ns) or _bytes_differ(pair)


def _bytes_differ(pair: Pair) -> bool:
    with overlay.reading(pair.upper, pair.name) as first, overlay.reading(pair.lower, pair.name) as second:
        while True:
            part = os.read(first, _CHUNK)
            if part != os.read(second, _CHUNK):
                return True
            if not part:
                return False


def _metadata_differs(pair: Pair, above: Status, below: Status) -> bool:
    if not same_access(above, below):
        return True
    if not stat.S_ISREG(above.mode):
        return False
    with overlay.reading(pair.upper, pair.name) as first, overlay.reading(pair.lower, pair.name) as second:
        return overlay.attributes(first) != overlay.attributes(second)

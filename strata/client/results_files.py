# SPDX-License-Identifier: MIT
"""What the methods on files answer, typed. Names that are no UTF-8 have a `*_b64` beside them."""

# No `from __future__ import annotations`: NamedTuple and TypedDict compile annotations that are text, one by one.

from typing import NamedTuple


class FileInfo(NamedTuple):
    """A file, directory or link; `mode` in octal digits, `mtime` in seconds since 1970."""

    path: str
    kind: str
    size: int = 0
    mode: str = ""
    mtime: float = 0.0
    uid: int = 0
    gid: int = 0
    links: int = 0
    target: str = ""
    path_b64: str = ""
    target_b64: str = ""


class Entry(NamedTuple):
    """One name in a directory."""

    name: str
    kind: str
    size: int = 0
    mode: str = ""
    mtime: float = 0.0
    target: str = ""
    name_b64: str = ""
    target_b64: str = ""


class Transfer(NamedTuple):
    """What went over: bytes, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str
    path: str = ""
    mode: str = ""
    mtime: float = 0.0
    created: bool = False
    eof: bool = True
    changed: bool = False
    complete: bool = True


class Archive(NamedTuple):
    """A tar archive: bytes and their SHA-256. `changed` files did so while they were read; sockets are `skipped`."""

    size: int
    sha256: str
    changed: int = 0
    skipped: int = 0


class Change(NamedTuple):
    """A difference to what the session began with: added, modified or removed."""

    path: str
    kind: str
    type: str = ""
    size: int | None = None
    path_b64: str = ""


class Event(NamedTuple):
    """Something happened to `path`; the first one is `watching`."""

    event: str
    path: str = ""
    kind: str = ""
    moved_from: str = ""

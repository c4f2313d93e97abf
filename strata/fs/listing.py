# SPDX-License-Identifier: MIT
"""Listing a directory: sorted by the bytes of the names, links not followed, a page at a time when it is huge."""

from __future__ import annotations

import base64
import binascii
import heapq
import os
import stat
from collections.abc import Iterator
from typing import Any

import msgspec

from strata.errors import InvalidArgument
from strata.sockets import frame

_PAGE = 16_384  # names held in memory at a time; the smallest entry that can be takes 41 bytes of a frame
_ENVELOPE = 1024  # bytes of a reply beside req_id and entries: the cursor of a name of 255 bytes takes 340


class Entry(msgspec.Struct, frozen=True):
    """One name of a directory. A name that is not UTF-8 is shown with replacement characters, and whole in base64."""

    name: str
    is_dir: bool
    size: int
    name_b64: str | msgspec.UnsetType = msgspec.UNSET


def page(fd: int, cursor: str | None, req_id: str) -> dict[str, Any]:
    """`entries` of the open directory after `cursor`; when they are not all, also `truncated` and the next `cursor`.

    Blocks on the disk. Raises OSError, InvalidArgument for a cursor that is not one.
    """
    budget = frame.MAX_PAYLOAD - _ENVELOPE - len(msgspec.json.encode(req_id))
    after = _after(cursor)
    names = heapq.nsmallest(_PAGE + 1, (name for name in _names(fd) if name > after))
    shown: list[Entry] = []
    last, whole = after, len(names) <= _PAGE
    for name in names[:_PAGE]:
        entry = _entry(fd, name)
        if entry is not None:
            budget -= len(msgspec.json.encode(entry)) + 1
            if budget < 0:
                whole = False
                break
            shown.append(entry)
        last = name
    return {"entries": shown} if whole else {"entries": shown, "truncated": True, "cursor": _cursor(last)}


def _names(fd: int) -> Iterator[bytes]:
    with os.scandir(fd) as found:
        for entry in found:
            yield os.fsencode(entry.name)


def _entry(fd: int, name: bytes) -> Entry | None:
    try:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None  # removed since the directory was read
    shown = name.decode("utf-8", "replace")
    whole = msgspec.UNSET if shown.encode() == name else base64.b64encode(name).decode("ascii")
    return Entry(shown, stat.S_ISDIR(status.st_mode), status.st_size, whole)


def _cursor(name: bytes) -> str:
    return base64.b64encode(name).decode("ascii")


def _after(cursor: str | None) -> bytes:
    try:
        return base64.b64decode(cursor or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("cannot use the cursor: give back what fs.list answered", param="cursor") from error

# SPDX-License-Identifier: MIT
"""What is revoked: a list that only grows, in memory and in a journal file that survives.

Each entry is one revision. A file line is `{"cap_id","at"}`, the first one a header. An entry stays until every token
it can concern has expired: `at` plus the longest ttl that was ever allowed here, plus a margin for clocks.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from strata import durable
from strata.errors import UNREADABLE, InvalidArgument, ResourceExhausted

FILE = "revocations.jsonl"
MARGIN = 3600.0  # seconds
PAGE = 1000  # entries: far below what a frame holds, whatever the ids
MOST_PER_FAMILY = 10_000
"""Entries that holders, who can attenuate without end, may make of one family; what is revoked must be remembered."""
COMPACT_FROM = 10_000
"""Entries below which nothing is ever dropped: a clock that is wrong for one start must not revive what was revoked."""

log = logging.getLogger(__name__)


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`revision` is that of the last entry dropped; `max_ttl` (seconds) never shrinks."""

    revision: int
    max_ttl: int


class _Entry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`cap_id` is "" where only the keys changed; `family` is "" where an operator revoked."""

    cap_id: str
    at: float
    family: str = ""


class Page(NamedTuple):
    """Entries after a revision; `reset` when they are the beginning of the whole list, `more` when there are more."""

    revision: int
    cap_ids: tuple[str, ...]
    reset: bool
    more: bool


class Revocations:
    """The list and its journal. One process owns the file."""

    def __init__(
        self, file: Path, max_ttl: int, clock: Callable[[], float] = time.time, compact_from: int = COMPACT_FROM
    ) -> None:
        """Open the journal, making it if there is none, and drop what can matter no more. `max_ttl` in seconds.

        Raises InvalidArgument for a damaged journal, ResourceExhausted or Unavailable when none can be made.
        """
        self._file, self._max_ttl, self._clock, self._compact_from = file, max_ttl, clock, compact_from
        # The first revision is 1: to a verifier 0 means that it knows nothing yet, and is never worth waiting at.
        self._base, self._entries, self._size = 1, list[_Entry](), 0
        self._pending: list[_Entry] = []
        self._per_family: collections.Counter[str] = collections.Counter()
        self._turn = asyncio.Lock()
        self._fd = -1
        self.existed = file.exists()
        if self.existed:
            self._load()
        self._compact(required=not self.existed)
        self._known = {entry.cap_id for entry in self._entries}
        self._per_family = _by_family(self._entries)

    @property
    def revision(self) -> int:
        """Number of the latest entry; grows over restarts too."""
        return self._base + len(self._entries)

    def cap_ids(self) -> set[str]:
        """All that is revoked."""
        return self._known - {""}

    def add(self, cap_id: str, family: str = "") -> int:
        """Revoke in memory; `save` makes it last. Returns the revision that has it ("" marks a change of keys).

        `family` is that of the holder who revokes, "" for an operator. Raises ResourceExhausted when holders have
        revoked too many of one family; the outermost ancestor itself can always be.
        """
        if cap_id in self._known and cap_id:
            return self.revision
        if self._per_family[family] >= MOST_PER_FAMILY and cap_id != family:
            raise ResourceExhausted(
                f"cannot revoke: {MOST_PER_FAMILY} descendants of {family} are revoked already; revoke that one"
            )
        if family:
            self._per_family[family] += 1
        entry = _Entry(cap_id, self._clock(), family)
        self._entries.append(entry)
        self._pending.append(entry)
        self._known.add(cap_id)
        return self.revision

    async def save(self) -> None:
        """Write and fsync what is not yet; callers at the same time share one write.

        Raises ResourceExhausted or Unavailable; what could not be written is tried again with the next one.
        """
        async with self._turn:
            batch = tuple(self._pending)
            if not batch:
                return
            with durable.told(f"make the revocation durable in {self._file} (it is in force until a restart)"):
                await asyncio.to_thread(self._append, b"".join(map(_line, batch)))
            del self._pending[: len(batch)]
            if len(self._entries) % self._compact_from < len(batch):
                self._compact()

    def page(self, since: int) -> Page:
        """Up to PAGE entries after revision `since`; from the beginning when `since` is 0 or unknown here."""
        reset = since == 0 or not self._base <= since <= self.revision
        start = 0 if reset else since - self._base
        entries = self._entries[start : start + PAGE]
        last = self._base + start + len(entries)
        return Page(last, tuple(entry.cap_id for entry in entries if entry.cap_id), reset, last < self.revision)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, lines: bytes) -> None:
        # What an earlier attempt left half written goes first; a crash in between leaves a torn last line.
        os.ftruncate(self._fd, self._size)
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        os.fsync(self._fd)
        self._size += len(lines)

    def _load(self) -> None:
        try:
            content = self._file.read_bytes()
            first, *lines = content.split(b"\n")
            header = msgspec.json.decode(first, type=_Header)
            self._base, self._max_ttl = max(1, header.revision), max(self._max_ttl, header.max_ttl)
            *whole, torn = lines
            if whole and not torn and not _readable(whole[-1]):
                torn = whole.pop()  # power loss may leave a whole block of zeros
            self._entries = [msgspec.json.decode(line, type=_Entry) for line in whole]
        except (OSError, *UNREADABLE) as error:
            raise InvalidArgument(
                f"cannot read {self._file}: {error}; restore it from a backup (starting without it would revive "
                "revoked capabilities), or remove the whole state directory to begin anew"
            ) from error
        if torn:
            log.warning(
                "%s ended in a torn line of %d bytes, whose revocation was never confirmed", self._file, len(torn)
            )
        self._size = sum(len(line) + 1 for line in (first, *whole))

    def _compact(self, required: bool = False) -> None:
        """Rewrite the journal without what has expired. When that fails the old one goes on, unless `required`."""
        oldest = self._clock() - self._max_ttl - MARGIN
        kept = [entry for entry in self._entries if entry.at > oldest and entry.cap_id]
        if required or (len(self._entries) >= self._compact_from and len(kept) < len(self._entries)):
            revision = self.revision if self._entries else self._base
            header = msgspec.json.encode(_Header(revision, self._max_ttl)) + b"\n"
            content = header + b"".join(map(_line, kept))
            try:
                durable.replace(self._file, content)
            except OSError as error:
                if required:
                    with durable.told(f"make {self._file}"):
                        raise
                log.warning("cannot compact %s: %s", self._file, error)
            else:
                self._base, self._entries, self._size = revision, kept, len(content)
                self._per_family = _by_family(kept)
                self.close()
        if self._fd < 0:
            with durable.told(f"open {self._file}"):
                self._fd = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def _by_family(entries: list[_Entry]) -> collections.Counter[str]:
    return collections.Counter(entry.family for entry in entries if entry.family)


def _line(entry: _Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _readable(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=_Entry)
    except UNREADABLE:
        return False
    return True

# SPDX-License-Identifier: MIT
"""Where the registry's table outlives its process. A second node's store (a shared KV) would be one more class here."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from strata.errors import UNREADABLE, ResourceExhausted

log = logging.getLogger(__name__)
FILE_NAME = "table.json"
E = TypeVar("E", bound=msgspec.Struct)


class Store(Protocol[E]):
    """Keeps a whole table at a time. `fresh`: loading found nothing usable where something might have been."""

    fresh: bool

    def load(self) -> tuple[E, ...]:
        """What was saved last; empty when nothing usable was."""
        ...

    def save(self, entries: tuple[E, ...]) -> None:
        """Replace what is kept. Raises StrataError, and then what was kept before is still there."""
        ...


class FileStore(Generic[E]):
    """One JSON file, replaced by rename(2). It need not outlive the boot, so it is not synced to disk."""

    def __init__(self, path: Path, kind: type[E]) -> None:
        self.path, self.fresh = path, False
        self._decoder = msgspec.json.Decoder(tuple[kind, ...])  # type: ignore[valid-type]

    def load(self) -> tuple[E, ...]:
        """The saved table. A damaged file is moved aside, said loudly, and the table starts empty."""
        try:
            found: tuple[E, ...] = self._decoder.decode(self.path.read_bytes())
        except FileNotFoundError:
            self.fresh = True
            return ()
        except (OSError, *UNREADABLE) as error:
            self.fresh = True
            self._set_aside(error)
            return ()
        return found

    def save(self, entries: tuple[E, ...]) -> None:
        """Write beside and rename over. Raises ResourceExhausted when the file system does not take it."""
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(entries))
            fresh.replace(self.path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise ResourceExhausted(f"cannot keep the table in {self.path}: {error.strerror or error}") from error

    def _set_aside(self, error: Exception) -> None:
        aside = self.path.with_suffix(".damaged")
        log.error("cannot read %s: %s; starting with an empty table, services must register again", self.path, error)
        try:
            self.path.replace(aside)
        except OSError as failure:
            log.error("cannot move it to %s: %s", aside, failure)


class NoStore(Generic[E]):
    """For a registry run by hand: the table lives and dies with the process."""

    fresh = False

    def load(self) -> tuple[E, ...]:
        """Nothing."""
        return ()

    def save(self, entries: tuple[E, ...]) -> None:
        """Nothing to do."""


def from_env(kind: type[E], env: Mapping[str, str] | None = None) -> Store[E]:
    """The store that systemd's RuntimeDirectory= gives room for (systemd.exec(5)), else none."""
    directory = (os.environ if env is None else env).get("RUNTIME_DIRECTORY", "").split(":")[0]
    return FileStore(Path(directory) / FILE_NAME, kind) if directory else NoStore()

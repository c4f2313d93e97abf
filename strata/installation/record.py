# SPDX-License-Identifier: MIT
"""What an installation left on the disk beside what is in its table today: kept until it is uninstalled.

Files say themselves who wrote them (strata.installation.mark), directories cannot; and an older version may have
written files that this one knows nothing of.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from strata import durable
from strata.errors import UNREADABLE, Internal
from strata.installation.files import make_directory
from strata.paths import Paths

NAME = "installation.json"


class Record(msgspec.Struct, frozen=True):
    """Absolute paths of the files written and the directories made, ever since there was none of it. `complete`: the
    group, the directories and the start at boot have been seen to; an installation may have failed before that."""

    files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    complete: bool = False

    def plus(self, files: tuple[str, ...], directories: tuple[str, ...]) -> Record:
        """With more of both."""
        return Record(
            tuple(dict.fromkeys((*self.files, *files))),
            tuple(dict.fromkeys((*self.directories, *directories))),
            self.complete,
        )


def read(paths: Paths) -> Record:
    """The record, an empty one where there is none. Raises StrataError."""
    file = paths.state_dir / NAME
    with durable.told(f"read {file}"):
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return Record()
    try:
        return msgspec.json.decode(content, type=Record)
    except UNREADABLE as error:
        raise Internal(
            f"cannot read {file}: {error}; delete it, and remove empty directories of Strata's by hand"
        ) from error


def write(paths: Paths, record: Record) -> None:
    """Keep it, durably. Raises StrataError."""
    file = paths.state_dir / NAME
    with durable.told(f"write {file}"):
        make_directory(file.parent)
        durable.replace(file, msgspec.json.format(msgspec.json.encode(record)) + b"\n", 0o644)


def forget(paths: Paths) -> None:
    """Remove it."""
    (paths.state_dir / NAME).unlink(missing_ok=True)


def listed(record: Record) -> list[Path]:
    """The files as paths."""
    return [Path(file) for file in record.files]

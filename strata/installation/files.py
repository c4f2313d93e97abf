# SPDX-License-Identifier: MIT
"""Files of an installation on the disk: judged, written, removed. What somebody else wrote or changed stays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from strata import durable
from strata.errors import Conflict
from strata.installation import mark
from strata.installation.documents import Document


class State(StrEnum):
    """What is at the path of a document. OTHER: ours and untouched, of another version or for another place."""

    MISSING = "missing"
    SAME = "same"
    OTHER = "other"
    CHANGED = "changed"
    FOREIGN = "foreign"


class Found(NamedTuple):
    """`version` is that of the Strata that wrote the file, "" where none did."""

    path: Path
    state: State
    version: str = ""


def look(path: Path, text: str = "") -> Found:
    """Judge one file; `text` is what it is to be. Raises StrataError where it cannot be read."""
    with durable.told(f"read {path}"):
        if path.is_symlink() or path.is_dir():  # a masked unit is a link to /dev/null
            return Found(path, State.FOREIGN)
        try:
            there = path.read_bytes().decode("utf-8", "replace")
        except FileNotFoundError:
            return Found(path, State.MISSING)
    found = mark.read(there)
    if found is None:
        return Found(path, State.FOREIGN)
    if not found.intact:
        return Found(path, State.CHANGED, found.version)
    return Found(path, State.SAME if there == text else State.OTHER, found.version)


def survey(documents: Iterable[Document], root: Path = Path("/")) -> list[Found]:
    """As `look`, for each."""
    return [look(at(root, one.path), one.text) for one in documents]


def at(root: Path, path: Path) -> Path:
    """Where a path lies while `root` is not yet the machine's."""
    return root / path.relative_to("/")


_WHY = {
    State.FOREIGN: "it is there and `strata-ctl install` did not write it; move it away",
    State.CHANGED: "it was changed since Strata wrote it; keep your changes elsewhere (a unit's in a drop-in, "
    "`systemctl edit`), delete the file",
}


def refuse_others(found: Iterable[Found]) -> None:
    """Raises Conflict when a file that would be written is not ours to replace; nothing has been written by then."""
    for one in found:
        if why := _WHY.get(one.state):
            raise Conflict(f"cannot write {one.path}: {why}, and run this again")


def write(documents: Iterable[Document], root: Path = Path("/")) -> list[Path]:
    """Write what is not there as it should be; the paths that were. Raises StrataError."""
    written = []
    for one in documents:
        path = at(root, one.path)
        if look(path, one.text).state is State.SAME:
            continue
        with durable.told(f"write {path}"):
            make_directory(path.parent)
            durable.replace(path, one.text.encode(), 0o644)
        written.append(path)
    return written


def missing_directories(wanted: Iterable[Path]) -> list[Path]:
    """Which directories will have to be made for these to be there, outermost first."""
    missing = {above for path in wanted for above in (path, *path.parents) if not os.path.lexists(above)}
    return sorted(missing)


def make_directory(path: Path) -> None:
    """Make a directory and those above it, for all to read, whatever the umask is. Raises OSError."""
    for missing in missing_directories([path]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o755)


def remove(paths: Iterable[Path]) -> Iterator[Found]:
    """Remove files that are as they were written, and say of each how it was: CHANGED and FOREIGN ones still stand."""
    for path in paths:
        found = look(path)
        if found.state is State.OTHER:
            with durable.told(f"remove {path}"):
                path.unlink()
        yield found


def remove_directories(made: Iterable[Path]) -> list[Path]:
    """Remove those that are empty, innermost first; the ones that stay, because something is in them."""
    for path in sorted(made, reverse=True):
        with contextlib.suppress(OSError):  # not empty, or gone
            path.rmdir()
    return [path for path in sorted(made) if path.is_dir()]

# SPDX-License-Identifier: MIT
"""Remove all that Strata ever kept: keys, revocations, snapshots, settings."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from strata import durable
from strata.errors import Conflict, Unavailable
from strata.paths import Paths

PRIVATE = Path("/var/lib/private/strata")
"""What state directories of services with a user of their own lead to (DynamicUser=, systemd.exec(5))."""


def trees(paths: Paths, env: Mapping[str, str], made: Iterable[Path], system: bool) -> list[Path]:
    """The directories to remove. Raises Conflict for one that may be somebody else's: neither where Strata's usually is
    nor made by an installation."""
    usual = Paths.from_env({name: value for name, value in env.items() if not name.startswith("STRATA_")})
    made = set(made)
    for path, expected in ((paths.config_dir, usual.config_dir), (paths.state_dir, usual.state_dir)):
        if path != expected and path not in made:
            raise Conflict(
                f"cannot purge {path}: it was there before Strata was installed, and other things may be in it; "
                "remove what is Strata's yourself, and uninstall without --purge"
            )
    return [paths.config_dir, paths.state_dir, *([PRIVATE] if system else [])]


def mounted(tree: Path, mountinfo: str) -> list[str]:
    """What is mounted inside a tree (proc(5), mountinfo; blanks in it are written as octal escapes)."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    return [point for point in points if tree in Path(point).parents]


def refuse_mounts(trees: Iterable[Path]) -> None:
    """Raises Unavailable when something is mounted in one of the trees: removing would follow it."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    for tree in trees:
        if there := mounted(tree, mountinfo):
            raise Unavailable(
                f"cannot remove {tree}: {there[-1]} is mounted in it; `umount {there[-1]}` and run this again"
            )


def _remove_empty(tree: Path) -> None:
    try:
        tree.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:  # a mount point (rmdir(2))
            raise


def remove(tree: Path) -> bool:
    """Remove a directory and all in it; whether it was there. One that is a mount point itself is only emptied."""
    if not tree.is_dir() or tree.is_symlink():
        return False
    with durable.told(f"remove {tree}"):
        for entry in os.scandir(tree):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        _remove_empty(tree)
    return True

# SPDX-License-Identifier: MIT
"""Remove all that Strata ever kept: keys, revocations, snapshots, settings."""

from __future__ import annotations

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
    """Mount points in a tree (proc(5), mountinfo; blanks in it are written as octal escapes)."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    return [point for point in points if Path(point).is_relative_to(tree)]


def remove(tree: Path) -> bool:
    """Remove a directory and all in it; whether it was there. Raises Unavailable when something is mounted in it."""
    if there := mounted(tree, Path("/proc/self/mountinfo").read_text()):
        raise Unavailable(f"cannot remove {tree}: {there[-1]} is mounted in it; `umount {there[-1]}` and try again")
    if not tree.is_dir() or tree.is_symlink():
        return False
    with durable.told(f"remove {tree}"):
        shutil.rmtree(tree)
    return True

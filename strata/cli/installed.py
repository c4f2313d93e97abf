# SPDX-License-Identifier: MIT
"""What is installed on this machine: which unit starts Strata at boot, and whose it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from strata import config
from strata.cli import output
from strata.installation import layout
from strata.installation.layout import Target
from strata.paths import Paths
from strata.units import names

if TYPE_CHECKING:
    from strata.systemd.bus import Bus


class Installed(NamedTuple):
    """`unit` is the file of the supervisor's unit."""

    target: Target
    unit: Path

    @property
    def user(self) -> bool:
        """Is it the user's own?"""
        return self.target == "user"


def find(target: Target | None = None) -> Installed | None:
    """What is installed for `target`, or whatever applies to who asks: a user's own comes before the machine's."""
    wanted: tuple[Target, ...] = ("admin", "package") if os.geteuid() == 0 else ("user", "admin", "package")
    for each in (target,) if target else wanted:
        unit = layout.directory(each, "unit", os.environ) / names.SUPERVISOR
        if os.path.lexists(unit):
            return Installed(each, unit)
    return None


def fragment(bus: Bus) -> str:
    """The file of the supervisor's unit as systemd knows it; "" where there is none, or a transient one (`up`)."""
    if bus.property(names.SUPERVISOR, "Unit", "Transient", "b"):
        return ""
    return bus.fragment(names.SUPERVISOR)


def environment(bus: Bus) -> dict[str, str]:
    """The variables that the supervisor's unit sets."""
    given = bus.property(names.SUPERVISOR, "Service", "Environment", "as") or []
    pairs = (os.fsdecode(item).partition("=") for item in given)
    return {name: value for name, _, value in pairs}


def tell_what_is_not_heeded(paths: Paths) -> None:
    """An installed supervisor starts without its starter's environment."""
    if ignored := [name for name in config.VARIABLES if os.environ.get(name)]:
        file = paths.config_dir / config.FILE_NAME
        output.note(f"not heeded by an installed Strata: {', '.join(ignored)}; say it in {file}")


def sweep_run(directory: str) -> None:
    """Remove what systemd leaves there of units that have ended: what the supervisor's keeps while it is stopped
    (RuntimeDirectoryPreserve=), and links to the directories of dynamic users that are gone."""
    shutil.rmtree(Path(directory, "strata-supervisor"), ignore_errors=True)
    for link in Path(directory).glob("strata-*"):
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)

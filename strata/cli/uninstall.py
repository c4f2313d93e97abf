# SPDX-License-Identifier: MIT
"""`uninstall`: what `install` wrote goes, and nothing else; with --purge also all that Strata ever kept."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from strata.cli import call, down, install, installed, modes, output
from strata.cli.table import printable
from strata.errors import Conflict, PermissionDenied
from strata.installation import activation, files, layout, purge, record
from strata.installation.files import State
from strata.installation.layout import Target
from strata.installation.record import Record
from strata.paths import Paths
from strata.units import names


@click.command("uninstall")
@click.option("--user", is_flag=True, help="What you installed for yourself.")
@click.option("--purge", "everything", is_flag=True, help="Also keys, revocations, snapshots, settings and the group.")
def command(user: bool, everything: bool) -> int:
    """Stop Strata and remove what `install` wrote: files as they were written, and directories left empty.

    Keys, snapshots and settings stay, unless --purge.
    """
    target: Target = "user" if user else "admin"
    _refuse(target, everything)
    paths = Paths.from_env()
    before = record.read(paths)
    made = [Path(directory) for directory in before.directories]
    trees = purge.trees(paths, os.environ, made, system=not user) if everything else []
    if not everything and not installed.find(target) and not before.files:
        output.line("nothing is installed")
        return 0
    if installed.find(target) or call.answers(paths):
        down.take_down(paths)
    _remove(target, paths, before)
    if everything:
        _purge(trees, group=not user)
    record.forget(paths)
    left = files.remove_directories(made)
    if left and not everything:  # what a later --purge would have to remove with it
        record.write(paths, Record(directories=tuple(map(str, left))))
    own = () if everything else _own(paths)
    if kept := [*map(str, own), *([f"the group {layout.GROUP}"] if not user and _has_group() else [])]:
        output.line(printable(f"kept: {', '.join(kept)}; `strata-ctl {_again(user)}` removes them too"))
    _tell_what_is_left(own, left)
    return 0


def _refuse(target: Target, everything: bool) -> None:
    root = os.geteuid() == 0
    if target == "admin" and not root:
        raise PermissionDenied("cannot uninstall: you are not root; run it with sudo, or what is yours with --user")
    if target == "user" and root:
        raise PermissionDenied("cannot uninstall for a user: you are root; do it as that user, or leave --user out")
    if target == "admin" and installed.find("package") and not installed.find("admin"):
        raise Conflict("cannot uninstall: a package has installed Strata; remove it with your package manager")
    if target == "admin" and everything and installed.find("package"):
        raise Conflict(
            "cannot purge: a package has installed Strata too, and keys and settings are also that one's; "
            "uninstall without --purge, and purge with your package manager"
        )
    here = installed.find(target)
    if here and files.look(here.unit).state is State.FOREIGN:
        raise Conflict(
            f"cannot uninstall: `strata-ctl install` did not write {here.unit}; whoever did removes it (on NixOS, "
            "`services.strata.enable = false`)"
        )


def _remove(target: Target, paths: Paths, before: Record) -> None:
    user = target == "user"
    if installed.find(target):
        activation.systemctl(user, "disable", names.SUPERVISOR)
    table = [one.path for one in install.wanted(target, paths)]
    _tell(files.remove(dict.fromkeys((*table, *record.listed(before)))))
    facts = modes.facts()
    if facts.user_manager if user else facts.booted:
        activation.systemctl(user, "daemon-reload")


def _tell(found: Iterable[files.Found]) -> None:
    for one in found:
        if one.state is State.OTHER:
            output.line(printable(f"removed {one.path}"))
        elif one.state is State.CHANGED:
            output.line(printable(f"kept {one.path}: it was changed since Strata wrote it"))


def _purge(trees: Sequence[Path], group: bool) -> None:
    purge.refuse_mounts(trees)
    for tree in trees:
        if purge.remove(tree):
            output.line(printable(f"removed {tree} and all in it"))
    if group and _has_group():
        activation.remove_group()
        output.line(f"removed the group {layout.GROUP}")


def _own(paths: Paths) -> list[Path]:
    return [path for path in (paths.config_dir, paths.state_dir) if path.is_dir()]


def _again(user: bool) -> str:
    return "uninstall --user --purge" if user else "uninstall --purge"


def _tell_what_is_left(own: Sequence[Path], left: Iterable[Path]) -> None:
    related = {each for one in own for each in (one, *one.parents)}
    if others := [str(path) for path in left if path not in related and path.parent not in own]:
        output.line(printable(f"in use by others by now, and left: {', '.join(others)}"))


def _has_group() -> bool:
    try:
        return bool(grp.getgrnam(layout.GROUP))
    except KeyError:
        return False

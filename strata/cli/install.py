# SPDX-License-Identifier: MIT
"""`install`: files on the disk, so that systemd starts Strata at boot; a second time, an upgrade of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from strata import config, programs
from strata.cli import call, down, installed, modes, output, place, restart, status, up
from strata.cli.checks_here import replaceable
from strata.cli.table import printable
from strata.errors import Conflict, Unavailable
from strata.installation import activation, documents, files, layout, record
from strata.installation.documents import Document
from strata.installation.layout import Target
from strata.paths import Paths
from strata.types import ServiceState
from strata.units import context as contexts
from strata.units import names
from strata.units.context import Context


@click.command("install")
@click.option("--user", is_flag=True, help="For yourself, below your own systemd; needs no root.")
@click.option("--no-start", is_flag=True, help="Start nothing now; works where no systemd runs.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the files of a package below DIR, and nothing else.",
)
def command(user: bool, no_start: bool, root: Path | None) -> int:
    """Have systemd start Strata at boot: units, a group for operators, man pages, completion.

    Again, it brings the files up to date, and restarts the supervisor where they changed. Files that somebody else
    wrote or changed are never overwritten.
    """
    if root is not None:
        if user:
            raise click.UsageError("a package is not a user's: give --user or --root")
        return _package(root.absolute())
    return _here("user" if user else "admin", start=not no_start)


def wanted(target: Target, paths: Paths) -> tuple[Document, ...]:
    """What `install` would write on this machine. Raises StrataError."""
    return documents.documents(target, context(target, paths), os.environ)


def context(target: Target, paths: Paths) -> Context:
    """Where an installed Strata runs. Raises StrataError."""
    version = modes.version_number(modes.systemd_version())
    # No settings: an installed supervisor reads them when it starts, and unusable ones must not keep it from being
    # looked at or removed.
    return contexts.context("user" if target == "user" else "system", version, paths)


def _package(root: Path) -> int:
    made = documents.below(root, context("package", layout.SYSTEM))
    wanted = documents.documents("package", made, os.environ)
    files.refuse_others(files.survey(wanted, root))
    _tell(files.write(wanted, root), "wrote")
    return 0


def _here(target: Target, start: bool) -> int:
    paths = Paths.from_env()
    _refuse(target, start)
    config.load(paths)  # what could not start is told before anything is touched
    if target == "admin" and (reason := risk((*contexts.own_code(), *programs.search_path(os.environ).split(":")))):
        output.note(printable(f"careful: root will run this code from now on, and {reason}"))
    these = wanted(target, paths)
    files.refuse_others(files.survey(these))
    fresh = installed.find(target) is None
    if start:
        _make_way(paths)
    written = _write(target, paths, these)
    _apply(target, these, first=fresh or not record.read(paths).complete)
    record.write(paths, msgspec.structs.replace(record.read(paths), complete=True))
    if not start:
        return 0
    return _start(paths, changed=bool(written) and not fresh)


def _refuse(target: Target, start: bool) -> None:
    """Raises what says why this machine cannot, before anything is touched."""
    root = os.geteuid() == 0
    if target == "admin" and not root:
        raise Unavailable("cannot install: you are not root; run it with sudo, or for yourself with --user")
    if target == "user" and root:
        raise Unavailable("cannot install for a user: you are root; do it as that user, or leave --user out")
    if target == "admin" and installed.find("package"):
        raise Conflict(
            "cannot install: a package has installed Strata already; "
            f"`systemctl enable --now {names.SUPERVISOR}` starts that one, or remove the package first"
        )
    if not start:
        return
    facts = modes.facts()
    if target == "admin" and not facts.booted:
        raise Unavailable(
            "cannot install: PID 1 is not systemd, so nothing would start Strata at boot; `strata-ctl up` runs it here "
            "now, `--no-start` only writes the files, and `--root DIR` those of a package"
        )
    if target == "user" and (reason := modes.impossible(facts, "user")):
        raise Unavailable(f"cannot install for you: {reason}; `--no-start` only writes the files")


def risk(code: Iterable[str]) -> str:
    """Who else could change what lies in these directories, as a clause; "" when nobody can."""
    inside = (Path(directory) / "code" for directory in code if directory)
    return next(filter(None, map(replaceable, inside)), "")


def _make_way(paths: Paths) -> None:
    """A transient unit hides the file of the same name, so a Strata that `up` started ends first: where nothing is lost
    by that. Its services come back; sandboxes would not."""
    from strata.cli.manager_bus import bus_of

    manager = modes.current(paths)
    if manager is None or not call.answers(paths):
        return
    with bus_of(manager) as bus:
        if installed.fragment(bus):
            return
    if lost := _lost(status.gather(paths)):
        raise Conflict(
            f"cannot install: a Strata that `strata-ctl up` started runs here {lost}; `strata-ctl down` ends them all, "
            "then install again"
        )
    output.line("ending the Strata that `up` started; the installed one takes its place")
    down.take_down(paths)


def _lost(found: Mapping[str, Any]) -> str:
    """Which sandboxes would end with a Strata of that status; "" for none. Those that cannot be counted may be many."""
    state = next((row["state"] for row in found["services"] if row["name"] == "sandbox"), ServiceState.STOPPED)
    of_it = found.get("sandboxes", {})
    if open_now := of_it.get("active_sessions", 0):
        return f"with {open_now} open sandboxes, which end with it"
    if state == ServiceState.STOPPED or "active_sessions" in of_it:
        return ""
    return f"and may have open sandboxes, which end with it: {of_it.get('error') or f'its sandbox service is {state}'}"


def _write(target: Target, paths: Paths, these: tuple[Document, ...]) -> list[Path]:
    """Write the files, noting first what is going to be made; the ones that changed."""
    before = record.read(paths)
    wanted = [one.path for one in these]
    needed = [*documents.directories(paths), *(path.parent for path in wanted)]
    made = [str(path) for path in files.missing_directories(needed)]
    record.write(paths, before.plus(tuple(map(str, wanted)), tuple(made)))
    written = files.write(these)
    _tell(written, "wrote")
    stale = [path for path in record.listed(before) if path not in wanted]
    gone = [found.path for found in files.remove(stale) if found.state is files.State.OTHER]
    _tell(gone, "removed")
    if not written and not gone:
        output.line("all files are as they should be")
    return [*written, *gone]


def _tell(paths: list[Path], did: str) -> None:
    for path in paths:
        output.line(printable(f"{did} {path}"))


def _apply(target: Target, these: tuple[Document, ...], first: bool) -> None:
    """Group, directories, and the start at boot. Who disabled it since the first time is not overruled."""
    user = target == "user"
    where = {one.kind: one.path for one in these}
    if user:
        for path in documents.directories(Paths.from_env()):
            files.make_directory(path)
    else:
        activation.make_group(where["sysusers"])
        activation.make_directories(where["tmpfiles"])
    facts = modes.facts()
    if facts.user_manager if user else facts.booted:
        activation.systemctl(user, "daemon-reload")
    if first:
        activation.systemctl(user, "enable" if user else "preset", names.SUPERVISOR)
    _tell_boot(user)


def _tell_boot(user: bool) -> None:
    enabled = activation.enablement(user)
    flag = "--user " if user else ""
    if enabled != "enabled":
        output.line(f"not started at boot ({enabled}); `systemctl {flag}enable {names.SUPERVISOR}` changes that")
    elif not user:
        output.line(f"{names.SUPERVISOR} starts at boot; members of the group {layout.GROUP} are operators")
    elif activation.lingers(place.user()):
        output.line(f"{names.SUPERVISOR} starts at boot")
    else:
        output.line(
            f"{names.SUPERVISOR} starts when you log in and ends with your last session; "
            "`loginctl enable-linger` has it start at boot and stay"
        )


def _start(paths: Paths, changed: bool) -> int:
    if changed and call.answers(paths):
        output.line(f"restarting {names.SUPERVISOR}")
        code = restart.everything(paths, up.DEADLINE, as_json=False)
    else:
        up.start(paths, None, time.monotonic() + up.DEADLINE)
        code = 0
    return up.shown(paths) or code

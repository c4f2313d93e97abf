# SPDX-License-Identifier: MIT
"""`down`: the supervisor stops all in reverse order; then nothing is left, not even what a crash left."""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strata.cli import directories, installed, modes, options, output
from strata.cli.modes import Manager
from strata.cli.table import printable
from strata.embedded import boot, record
from strata.errors import NotFound, Unavailable
from strata.paths import Paths
from strata.units import names
from strata.units.context import own_run

if TYPE_CHECKING:
    from strata.systemd.bus import Bus

PATIENCE = 150.0
"""Seconds for an orderly stop: a little more than the supervisor's own time limit (strata.units.render)."""
_LOOK_SECONDS = 0.5


@click.command("down")
@click.option(
    "--timeout",
    type=options.span,
    metavar="SPAN",
    default=PATIENCE,
    show_default="150s",
    help="How long a stop may take.",
)
def command(timeout: float) -> int:
    """Stop Strata and leave nothing behind: no process, cgroup, mount, socket or unit. Keys and settings stay."""
    take_down(Paths.from_env(), timeout)
    if installed.find():
        output.line("it is installed: the next boot starts it again, or `strata-ctl up`")
    return 0


def take_down(paths: Paths, timeout: float = PATIENCE) -> None:
    """Stop all of it and say so; `timeout` in seconds. Raises StrataError."""
    with directories.turn(paths):
        private = record.read(paths)
        did = _stop_units(paths, time.monotonic() + timeout)
        if boot.clean(paths):
            did.append("ended the private systemd")
        left = directories.sweep(paths)
    for deed in did or ["nothing of Strata runs here"]:
        output.line(deed)
    if paths.state_dir.is_dir():
        output.line(f"keys, revocations, snapshots and empty disk images stay in {paths.state_dir}")
    if left:
        output.note(f"left in {paths.runtime_dir}, not Strata's own: {', '.join(left)}")
    if private is not None and record.is_zombie(private.pid):
        output.note(_unreaped(private.pid))


def _unreaped(pid: int) -> str:
    """Who has no parent left belongs to PID 1, which alone can take it off the list (wait(2), NOTES)."""
    init = Path("/proc/1/comm").read_text().strip()
    return (
        f"process {pid} has ended but is still listed as <defunct>, because PID 1 here ({printable(init)}) collects no "
        "ended processes; a container with an init, such as `docker run --init` gives, does"
    )


def _stop_units(paths: Paths, deadline: float) -> list[str]:
    manager = modes.current(paths)
    if manager is None:
        return []
    from strata.cli import launch
    from strata.cli.manager_bus import bus_of

    with bus_of(manager) as bus:
        launch.refuse_foreign(bus, paths)
        return _stop_all(bus, manager, deadline)


def _stop_all(bus: Bus, manager: Manager, deadline: float) -> list[str]:
    """The supervisor first, for it stops the others in order; then whatever a dead supervisor left; the slice last."""
    did = []
    if _lives(bus, names.SUPERVISOR):
        _stop(bus, [names.SUPERVISOR], deadline)
        did.append(f"stopped {names.SUPERVISOR} and what it supervised ({manager.mode} mode)")
    if rest := _ours(bus):
        _stop(bus, rest, deadline)
        did.append(f"stopped {', '.join(rest)}")
    if not bus.status(names.SLICE).gone:
        _stop(bus, [names.SLICE], deadline)
    if manager.mode != "embedded":  # of a private systemd nothing is left anyway
        installed.sweep_run(own_run(os.environ) if manager.mode == "user" else "/run")
    return did


def _ours(bus: Bus) -> list[str]:
    """Units of Strata that live or have failed, but for the private systemd's own."""
    return sorted(
        name for name in bus.units("strata-*") if not name.startswith("strata-embedded") and _lives(bus, name)
    )


def _lives(bus: Bus, name: str) -> bool:
    """Is there anything to stop or to forget? An installed unit may be loaded without either."""
    return bus.status(name).active_state != "inactive"


def _stop(bus: Bus, units: list[str], deadline: float) -> None:
    for unit in units:
        with contextlib.suppress(NotFound):  # gone since we looked
            bus.stop(unit)
    for unit in units:
        while bus.status(unit).active_state not in ("inactive", "failed"):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"cannot stop {unit}: it is still {bus.status(unit).active_state}; "
                    "look at `strata-ctl logs`, then run `strata-ctl down` again"
                )
            select.select([bus], [], [], _LOOK_SECONDS)
            for _ in bus.signals():
                pass
        bus.reset_failed(unit)  # a failed unit stays loaded until it is forgotten

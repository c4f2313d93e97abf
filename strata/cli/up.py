# SPDX-License-Identifier: MIT
"""`up`: from whatever this machine is to a Strata that is Healthy."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from strata.cli import call, directories, modes, options, output, restart, status
from strata.cli.modes import Choice, Manager
from strata.cli.table import printable
from strata.embedded import boot
from strata.errors import Conflict, Unavailable
from strata.paths import Paths
from strata.types import ServiceState
from strata.units.context import Mode

if TYPE_CHECKING:
    from strata.systemd.bus import Bus

DEADLINE = 60.0
_ON_THEIR_WAY = (ServiceState.DECLARED, ServiceState.STARTING)
_TAIL = 15


@click.command("up")
@click.option("--mode", type=click.Choice(modes.MODES), help="Where to run; otherwise this machine decides.")
@click.option(
    "--timeout", type=options.span, metavar="SPAN", default=DEADLINE, show_default="60s", help="Until all is Healthy."
)
@options.as_json
def command(mode: Mode | None, timeout: float, as_json: bool) -> int:
    """Start Strata on this machine, wait until all is Healthy, and show it. Harmless when it runs already.

    Services of your own that cannot become Healthy are told at the end, and are no reason to stop. Exit code as that of
    `status`: 0 only if all is well.
    """
    paths = Paths.from_env()
    start(paths, mode, time.monotonic() + timeout)
    return shown(paths, as_json)


def shown(paths: Paths, as_json: bool = False) -> int:
    """Print the status, and what to try next; the exit code. Raises StrataError."""
    found = status.gather(paths)
    if as_json:
        output.document(found)
    else:
        status.show(found)
        _next_steps(found["mode"], {row["name"] for row in found["services"]})
    return 0 if found["ok"] else 1


def start(paths: Paths, mode: Mode | None, deadline: float) -> bool:
    """Make the directories and bring all up; false when it runs already. Raises StrataError."""
    boot.await_end(paths)
    if not call.answers(paths):
        _choice(paths, mode)  # before anything is made: where nothing can run, nothing is left
    directories.make(paths)
    with directories.turn(paths):
        return _bring_up(paths, mode, deadline)


def _bring_up(paths: Paths, wanted: Mode | None, deadline: float) -> bool:
    if call.answers(paths):
        _already(paths, wanted)
        _wait(paths, deadline)
        return False
    started = time.monotonic()
    choice = _choice(paths, wanted)
    output.note(f"{choice.mode} mode: {choice.why}")
    directories.make(paths)  # again, inside the turn: a `down` may just have removed it
    manager = _manager(choice.mode, paths)
    _launch(manager, paths, deadline)
    output.note(f"up after {time.monotonic() - started:.1f} s\n")
    return True


def _already(paths: Paths, wanted: Mode | None) -> None:
    found = call.call(paths, "supervisor.status")
    mode = found["mode"]
    if wanted and wanted != mode:
        raise Conflict(f"cannot start in {wanted} mode: Strata runs already in {mode} mode; `strata-ctl down` first")
    for sentence in restart.waiting(paths, found["version"]):
        output.note(printable(sentence))
    output.note("already running\n")


def _wait(paths: Paths, deadline: float) -> None:
    """Who was started a moment ago, by a boot or another `up`, is waited for; the status shows what went wrong."""
    services = call.call(paths, "supervisor.svc.list")["services"]
    if any(row["state"] in _ON_THEIR_WAY and not row.get("stays") for row in status.problems(services)):
        from strata.cli import launch  # brings pystemd, which an `up` of what is up needs not

        with contextlib.suppress(launch.NotHealthy):
            launch.wait_for_services(paths, deadline)


def _choice(paths: Paths, wanted: Mode | None) -> Choice:
    """A private systemd that lives goes on being the place: Strata's units may still run in it."""
    if boot.find(paths) is not None and wanted in (None, "embedded"):
        return Choice("embedded", "its private systemd runs already")
    return modes.choose(modes.facts(), wanted)


def _manager(mode: Mode, paths: Paths) -> Manager:
    if mode == "embedded" and boot.find(paths) is None:
        embedded = boot.boot(paths)
        output.note(f"booted a private systemd {embedded.version}")
    return modes.manager_of(mode, paths)


def _launch(manager: Manager, paths: Paths, deadline: float) -> None:
    # Here, because pystemd takes a while to import and an `up` of what is already up needs none of it.
    from strata.cli import launch
    from strata.cli.manager_bus import bus_of

    with bus_of(manager) as bus:
        launch.start_units(bus, manager, paths)
        settle(bus, manager, paths, deadline)


def settle(bus: Bus, manager: Manager, paths: Paths, deadline: float) -> None:
    """Wait until the core is Healthy, and users' own services as far as they will be; `deadline` on time.monotonic().

    Raises Unavailable when the core is not, the journal's last words shown.
    """
    from strata.cli import launch

    try:
        launch.wait_for_supervisor(bus, paths, deadline)
        launch.wait_for_services(paths, deadline)
    except launch.NotHealthy as failure:
        _explain(manager, failure.units)
        raise Unavailable(
            f"cannot bring all of Strata up: {failure.reason}; the journal's last lines stand above. "
            "Look further with `strata-ctl logs` and `strata-ctl doctor`, then `strata-ctl down` and try again"
        ) from failure


def _explain(manager: Manager, units: Sequence[str]) -> None:
    for unit in units:
        output.note(f"--- journal of {unit}")
        kind = "--user-unit" if manager.mode == "user" else "--unit"
        arguments = ("--no-pager", "--quiet", "--output=cat", f"--lines={_TAIL}", f"{kind}={unit}")
        for line in modes.output_of(manager, modes.journalctl(manager, *arguments)).splitlines():
            output.note("  " + printable(line))


def _next_steps(mode: str, services: Collection[str]) -> None:
    ctl = _program()
    beside = {"embedded": f"{ctl} embedded run -- systemctl", "user": "systemctl --user"}.get(mode, "systemctl")
    output.line("\nTry next:")
    if "sandbox" in services:
        output.line(f"  {ctl} exec alice/task-001 -- ls -la /")
        output.line(f"  {ctl} shell alice/task-001")
    if "fs" in services:
        output.line(f"  TOKEN=$({ctl} token issue --service fs --action open,read,list --path-prefix /tmp --quiet)")
        output.line(f'  {ctl} -token "$TOKEN" fs.list \'{{"path":"."}}\'')
    output.line(f"  {beside} status --no-pager 'strata-*'")


def _program() -> str:
    """How this program is typed here: by name where the shell finds it, else as it was typed."""
    typed = sys.argv[0]
    found = shutil.which("strata-ctl")
    return "strata-ctl" if found or not typed.endswith("strata-ctl") else shlex.quote(typed)

# SPDX-License-Identifier: MIT
"""`logs`: journalctl of the systemd that Strata runs on, narrowed to Strata's units."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import click

from strata.cli import modes, options
from strata.paths import Paths
from strata.units import names


@click.command("logs", context_settings={"ignore_unknown_options": False})
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is new.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=50, show_default=True, help="How many of the last lines."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each record (journalctl -o json).")
@click.argument("name", required=False, metavar="[NAME]", shell_complete=options.complete_service)
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[-- JOURNALCTL_ARGS...]")
def command(follow: bool, lines: int, as_json: bool, name: str | None, extra: Sequence[str]) -> int:
    """The journal of one service, or of all of Strata. What follows `--` goes to journalctl: `logs fs -- -p err`."""
    if name and name.startswith("-"):  # `logs -- -p err`: no name was given
        extra = (name, *extra)
        name = None
    manager = modes.required(Paths.from_env())
    arguments = ["--no-pager", f"--lines={lines}", *(["--follow"] if follow else []), *matches(manager.mode, name)]
    if as_json:
        arguments.append("--output=json")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends both at once
    return modes.run(manager, modes.journalctl(manager, *arguments, *extra))


def matches(mode: str, name: str | None) -> list[str]:
    """journalctl's arguments for one service's units (core or a user's own), or for all units of Strata."""
    kind = "--user-unit" if mode == "user" else "--unit"
    if name is None:
        return [f"{kind}=strata-*", f"{kind}={names.SLICE}"]
    return [f"{kind}={unit}" for unit in units_of(name)]


def units_of(name: str) -> tuple[str, str]:
    """The service and the socket unit that a service of this name has. Raises InvalidArgument for an odd name."""
    core = name in names.CORE
    return names.service_unit(name, core, "service"), names.service_unit(name, core, "socket")

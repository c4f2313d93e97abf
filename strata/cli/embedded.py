# SPDX-License-Identifier: MIT
"""`embedded`: the private systemd of this runtime directory, for a person who wants to look inside."""

from __future__ import annotations

from collections.abc import Sequence

import click

from strata.cli import modes, options, output
from strata.cli.group import Group
from strata.embedded import boot
from strata.embedded.record import Embedded
from strata.errors import Unavailable
from strata.paths import Paths

group = Group(
    "embedded", help="The private systemd: run something beside it, look at it, stop it.", no_args_is_help=True
)

_RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@group.command("run", context_settings=_RAW)
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- CMD [ARG...]")
def run(argv: Sequence[str]) -> int:
    """Run CMD beside the private systemd. Its streams, signals and exit code are passed through."""
    return boot.run(_running(), argv)


@group.command("shell")
def shell() -> int:
    """An interactive shell beside the private systemd; its exit code is the shell's."""
    return boot.shell(_running())


@group.command("status")
@options.as_json
def status(as_json: bool) -> int:
    """Whether a private systemd runs here, which, and how it feels. Exit code 0 only if it says `running`."""
    embedded = boot.find(Paths.from_env())
    if embedded is None:
        return _absent(as_json)
    manager = modes.manager_of("embedded", Paths.from_env())
    # `is-system-running` exits 1 for everything but "running"; the word itself is what counts here.
    state = modes.output_of(manager, ["systemctl", "is-system-running"]).strip()
    found = {
        "running": True,
        "state": state,
        "pid": embedded.pid,
        "version": embedded.version,
        "root": str(embedded.root or "/"),
        "bus_address": embedded.bus_address,
        "cgroups": [str(path) for path in embedded.cgroups],
    }
    if as_json:
        output.document(found)
    else:
        output.line(f"systemd {embedded.version} is {state}: PID 1 is {embedded.pid} out here, tree {found['root']}")
    return 0 if state == "running" else 1


@group.command("stop")
def stop() -> None:
    """Stop the private systemd and everything in it, and remove what it made. Harmless when there is none."""
    cleaned = boot.clean(Paths.from_env())
    output.line("stopped the private systemd and removed what it left" if cleaned else "no private systemd runs here")


def _running() -> Embedded:
    embedded = boot.find(Paths.from_env())
    if embedded is None:
        raise Unavailable("cannot run beside the private systemd: it is not running; start it with `strata-ctl up`")
    return embedded


def _absent(as_json: bool) -> int:
    if as_json:
        output.document({"running": False})
        return 1
    raise Unavailable("cannot show the private systemd: it is not running; start it with `strata-ctl up`")

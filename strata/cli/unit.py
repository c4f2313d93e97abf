# SPDX-License-Identifier: MIT
"""`unit`: the systemd units exactly as they run."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from strata import programs
from strata.cli import format, modes, options, output, rendered
from strata.cli.group import Group
from strata.cli.table import Cell
from strata.errors import Unavailable
from strata.paths import Paths

group = Group("unit", help="The systemd units exactly as they run: cat, verify, ls.", no_args_is_help=True)

_ACTIVE = {"active": "green", "failed": "red"}


@group.command("cat")
@options.service_names
@options.as_json
def cat(names: Sequence[str], as_json: bool) -> None:
    """Print the unit texts of services, of `supervisor`, of `strata.slice` or of a manifest FILE.toml."""
    paths = Paths.from_env()
    units = [unit for name in names for unit in rendered.texts(name, paths)]
    if as_json:
        output.document([{"name": unit.name, "text": unit.text} for unit in units])
        return
    for index, unit in enumerate(units):
        output.line(("\n" if index else "") + unit.text.rstrip("\n"))


@group.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=options.complete_service)
def verify(names: Sequence[str]) -> int:
    """Run `systemd-analyze verify` over the units of services, or of all; its exit code.

    A manifest FILE.toml is verified before it is put in place.
    """
    paths = Paths.from_env()
    units = [unit for name in names or rendered.every(paths) for unit in rendered.texts(name, paths)]
    with tempfile.TemporaryDirectory(prefix="strata-verify-") as directory:
        files = [Path(directory, unit.name) for unit in units]
        for file, unit in zip(files, units, strict=True):
            file.write_text(unit.text, encoding="utf-8")
        code = _analyze(paths, files)
    if code == 0:
        output.note(f"systemd accepts {', '.join(unit.name for unit in units)}")
    return code


@group.command("ls")
@options.as_json
def ls(as_json: bool) -> None:
    """Strata's units as the manager has them now."""
    from strata.cli.manager_bus import bus_of

    with bus_of(modes.required(Paths.from_env())) as bus:
        found = [bus.status(name) for name in sorted({*bus.units("strata-*"), *bus.units("strata.slice")})]
    if as_json:
        fields = ("name", "load_state", "active_state", "sub_state", "main_pid", "restarts", "memory_bytes", "tasks")
        output.document([{field: getattr(unit, field) for field in fields} for unit in found])
        return
    rows = [
        (
            unit.name,
            Cell(unit.active_state, _ACTIVE.get(unit.active_state, "yellow")),
            unit.sub_state,
            str(unit.main_pid or "-"),
            format.size(unit.memory_bytes),
        )
        for unit in found
    ]
    output.columns(("UNIT", "ACTIVE", "SUB", "PID", "MEMORY"), rows, right=("PID", "MEMORY"))


def _analyze(paths: Paths, files: Sequence[Path]) -> int:
    manager = modes.current(paths)
    scope = ["--user"] if manager and manager.mode == "user" else []
    # Only what these units say counts, not the state of units that they merely mention (systemd-analyze(1)).
    argv = ["systemd-analyze", *scope, "verify", "--man=no", "--recursive-errors=no", *map(str, files)]
    try:
        return subprocess.run(argv, check=False).returncode
    except FileNotFoundError as error:
        raise Unavailable(f"cannot verify: systemd-analyze is not installed; {programs.install('systemd')}") from error

# SPDX-License-Identifier: MIT
"""`config`: what a configuration directory says, judged before anything runs by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import click
import msgspec

from strata import config
from strata.cli import options, output
from strata.cli.group import Group
from strata.cli.table import printable
from strata.errors import StrataError
from strata.paths import Paths
from strata.units import context as contexts
from strata.units import manifest as manifests
from strata.units import names, properties, render
from strata.units.access import Access
from strata.units.context import Context
from strata.units.model import Manifest

group = Group("config", help="Settings and manifests: check.", no_args_is_help=True)

_OPEN = Access(homes=False, covers=(), binds=())
_ANY_SYSTEMD = 9999
"""Which one will run there is not known here: a directive that is too new for it is told when its service starts."""


@group.command("check")
@click.argument("directory", required=False, metavar="[DIR]", type=click.Path(path_type=Path))
@options.as_json
def check(directory: Path | None, as_json: bool) -> int:
    """Read strata.toml and services.d/*.toml of DIR, strictly, and print what is wrong with them.

    DIR is the configuration directory if it is left out. The environment does not count, and nothing needs to run: an
    editor, a build or a deployment can ask. Exit code 1 if anything is wrong.
    """
    directory = (directory or Paths.from_env().config_dir).absolute()
    services, problems = judge(directory)
    if as_json:
        output.document({"ok": not problems, "directory": str(directory), "services": services, "problems": problems})
        return int(bool(problems))
    for problem in problems:
        output.line(printable(problem), "red")
    if not problems:
        output.line(f"{directory} is good: {_counted(services)}")
    return int(bool(problems))


def judge(directory: Path) -> tuple[list[str], list[str]]:
    """Names of the users' services that can be used, and a sentence for each thing that is wrong."""
    if not directory.is_dir():
        return [], [f"cannot check {directory}: it is no directory"]
    paths = Paths(Path("/run/strata"), Path("/var/lib/strata"), directory)
    settings, problems = _settings(paths)
    users, broken = manifests.load_directory(paths.services_d)
    problems += [error.message for error in broken]
    core = manifests.load_core(settings.core)
    problems += _unordered(core, users, {Path(error.source).stem for error in broken})
    here = msgspec.structs.replace(contexts.context("system", _ANY_SYSTEMD, paths, settings), settings=(), code=_OPEN)
    for manifest in (*core, *users):
        problems += _unusable(manifest, here)
    return [manifest.name for manifest in users], problems


def _settings(paths: Paths) -> tuple[config.Settings, list[str]]:
    try:
        return config.load(paths, {}), []
    except StrataError as error:
        return config.DEFAULTS, [error.message]


def _unordered(core: Iterable[Manifest], users: Iterable[Manifest], broken: Collection[str]) -> list[str]:
    """What is wrong with the order in which services are to start. One that is broken has been told of already."""
    known = {manifest.name: manifest for manifest in (*core, *users)}
    problems = []
    for manifest in known.values():
        for name in manifest.after:
            if name not in known and name not in broken:
                problems.append(_missing(manifest, name))
    complete = [
        msgspec.structs.replace(one, after=tuple(name for name in one.after if name in known)) for one in known.values()
    ]
    try:
        manifests.order(complete)
    except StrataError as error:
        problems.append(error.message)
    return problems


def _missing(manifest: Manifest, name: str) -> str:
    why = f"which strata.toml leaves out (core.{name} = false)" if name in names.CORE else "which is no service"
    return manifests.ManifestError(manifest.source, "after", f"names {name}, {why}").message


def _unusable(manifest: Manifest, here: Context) -> list[str]:
    """Why its units cannot be made, by the very functions that make them."""
    try:
        for text in render.render(manifest, here):
            properties.encode(text, _ANY_SYSTEMD)
    except StrataError as error:
        return [f"cannot use manifest {manifest.source}: {error.message}"]
    return []


def _counted(services: Collection[str]) -> str:
    return f"{len(services)} service{'' if len(services) == 1 else 's'} of your own"

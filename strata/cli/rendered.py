# SPDX-License-Identifier: MIT
"""The unit texts of a service, rendered for this machine by the very functions that the supervisor uses."""

from __future__ import annotations

from pathlib import Path

from strata import config
from strata.cli import installed, modes
from strata.errors import NotFound, StrataError
from strata.paths import Paths
from strata.units import context as contexts
from strata.units import manifest as manifests
from strata.units import names, render
from strata.units.context import Context
from strata.units.model import Manifest


def context_here(paths: Paths) -> Context:
    """The context of the manager that Strata runs on, or of the one that `up` would choose. Raises StrataError."""
    manager = modes.current(paths)
    mode = manager.mode if manager else modes.choose(modes.facts()).mode
    version = manager.embedded.version if manager and manager.embedded else 0
    version = version or modes.version_number(modes.systemd_version())
    return contexts.context(mode, version, paths, config.load(paths))


def texts(name: str, paths: Paths) -> tuple[render.UnitText, ...]:
    """Units of a service, of `supervisor`, of `strata.slice`, or of a manifest file (PATH.toml). Raises NotFound."""
    context = context_here(paths)
    if name in ("supervisor", names.SUPERVISOR):
        lasting = context.mode != "embedded" and installed.find() is not None
        return (render.render_supervisor(context, persistent=lasting),)
    if name in ("strata", names.SLICE):
        return (render.render_slice(context),)
    if name.endswith(".toml"):
        return render.render(manifests.load(Path(name).absolute()), context)
    return render.render(_manifest(name, paths), context)


def every(paths: Paths) -> list[str]:
    """Names that `texts` knows: the slice, the supervisor, and every service that is declared."""
    return ["strata", "supervisor", *(manifest.name for manifest in _declared(paths))]


def _manifest(name: str, paths: Paths) -> Manifest:
    wanted = names.service_of(name) or name
    declared = _declared(paths)
    for manifest in declared:
        if manifest.name == wanted:
            return manifest
    known = ", ".join(manifest.name for manifest in declared)
    raise NotFound(f"cannot show the units of {name!r}: it is not declared; there are supervisor, {known}")


def _declared(paths: Paths) -> list[Manifest]:
    try:
        users, _ = manifests.load_directory(paths.services_d)
    except StrataError:  # a directory that cannot be read hides no core service; `doctor` and `reload` tell of it
        users = []
    return [*manifests.load_core(config.load(paths).core), *users]

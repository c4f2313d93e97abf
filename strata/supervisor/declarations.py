# SPDX-License-Identifier: MIT
"""From manifests to services ready to be started: read, ordered, rendered, encoded."""

from __future__ import annotations

import logging

import msgspec

from strata.errors import InvalidArgument, StrataError
from strata.paths import Paths
from strata.supervisor.service import UNIT, Marks, Service
from strata.systemd.state import UnitStatus
from strata.units import manifest as manifests
from strata.units import properties, render
from strata.units.context import Context
from strata.units.model import Health, Manifest

log = logging.getLogger(__name__)


def declared(paths: Paths, context: Context) -> tuple[list[Service], list[str]]:
    """Every declared service in dependency order, of the core what the settings want, and what is wrong with those
    that cannot be.

    A broken manifest takes down neither the others nor the core: it is left out, and so is what depends on it.
    """
    users, broken = manifests.load_directory(paths.services_d)
    problems = [error.message for error in broken]
    usable = _ordered([*manifests.load_core(context.core), *users], problems)
    services = []
    for manifest in usable:
        try:
            services.append(_service(manifest, context))
        except StrataError as error:
            problems.append(f"{manifest.source}: {error.message}")
    for problem in problems:
        log.error("%s", problem)
    return services, problems


def _ordered(given: list[Manifest], problems: list[str]) -> list[Manifest]:
    """Dependency order of those whose dependencies can be met; a cycle leaves out its users' manifests."""
    known = {manifest.name for manifest in given}
    for manifest in given:
        missing = [name for name in manifest.after if name not in known]
        if missing:
            problems.append(f"cannot start {manifest.name}: it is declared after {missing[0]}, which is not declared")
            return _ordered([one for one in given if one is not manifest], problems)
    try:
        return list(manifests.order(given))
    except InvalidArgument as error:
        if all(manifest.core for manifest in given):
            raise
        problems.append(error.message)
        return list(manifests.order([manifest for manifest in given if manifest.core]))


def _service(manifest: Manifest, context: Context) -> Service:
    texts = render.render(manifest, context)
    marks = Marks(render.declared(manifest), *map(_mark, texts), *([""] * (2 - len(texts))))
    manifest = msgspec.structs.replace(manifest, health=_filled(manifest, context))
    units = []
    for text in texts:
        encoded = properties.encode(text, context.systemd_version)
        units.append((text.name, encoded.properties))
    gone = UnitStatus(texts[0].name)
    socket = UnitStatus(texts[1].name) if len(texts) > 1 else None
    return Service(manifest, texts, tuple(units), marks, gone, socket)


def _filled(manifest: Manifest, context: Context) -> Health | None:
    """The health check with the values of its placeholders: it is the supervisor that asks, not a unit."""
    health, fill = manifest.health, render.Filler(manifest, context)
    if health is None:
        return None
    command = tuple(fill(word) for word in health.command)
    return msgspec.structs.replace(health, url=fill(health.url), target=fill(health.target), command=command)


def _mark(text: render.UnitText) -> str:
    """What `render` wrote into the unit: by it a running one is recognised."""
    lines = (line for line in text.text.splitlines() if line.startswith(f"LogExtraFields={UNIT}="))
    return next(lines).rpartition("=")[2]

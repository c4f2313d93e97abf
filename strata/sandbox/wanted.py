# SPDX-License-Identifier: MIT
"""From what a caller asks for to what a session will be: template, settings and limits put together, judged once.

Nothing is reduced silently: what cannot be had is refused, what was left out is told in the answer.
"""

from __future__ import annotations

import math
import os
import time
from typing import NamedTuple

import msgspec

from strata import values
from strata.config import DRIVERS, NETWORKS, LimitSettings, SandboxSettings, TemplateSettings, limits_of
from strata.errors import InvalidArgument, NotFound, PermissionDenied
from strata.sandbox import tools
from strata.sandbox.params_session import CreateParams
from strata.sandbox.record import Record

MOST_LABELS = 64
LONGEST_LABEL = 256
MOST_ENV_BYTES = 128 * 1024
MICRO = 1_000_000
BYTES_PER_INODE = 4096
"""No disk has more inodes than it could have files of a block each."""

LEAST_DISK = 8 * 2**20


class Fixed(NamedTuple):
    """What is not the caller's to say."""

    uid_base: int
    mapped: bool
    operator: bool  # the caller may name directories of the host
    layers: tuple[str, ...] = ()
    base: str | None = None  # that of the snapshot


def wanted(params: CreateParams, settings: SandboxSettings, fixed: Fixed) -> Record:
    """The record of the session to open. Raises InvalidArgument, NotFound or PermissionDenied, naming the parameter."""
    template = _template(params.template, settings)
    limits = _limits(params, limits_of(settings.limits, template.limits), fixed)
    ttl = seconds("ttl", params.ttl or template.ttl or settings.session_ttl)
    lifetime = _lifetime(params, settings, fixed)
    base = _base(params, template, settings, fixed)
    now = time.time()
    return Record(
        owner=params.key.owner,
        session=params.key.session,
        created_at=now,
        uid_base=fixed.uid_base,
        mapped=fixed.mapped,
        base=base,
        tools=_tools(base, template, settings),
        driver=_one_of("driver", params.driver or settings.overlay_driver, DRIVERS),
        network=_network(params, template, settings, fixed),
        limits=limits,
        env=_env({**template.env, **(params.env or {})}),
        labels=_labels(params.labels or {}),
        template=params.template or "",
        layers=fixed.layers,
        ttl_seconds=ttl,
        lifetime_seconds=lifetime,
        expires_at=now + lifetime if lifetime else 0.0,
    )


def seconds(param: str, text: str) -> float:
    """A duration such as `30m`, in seconds; 0 for `infinity`. Raises InvalidArgument."""
    try:
        micros = values.microseconds(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{param}: {error.message}", param=param) from error
    if micros == values.INFINITY:
        return 0.0
    if not MICRO <= micros <= 3650 * 86_400 * MICRO:
        raise InvalidArgument(f"{param} must be from 1s to 3650d, or infinity", param=param)
    return micros / MICRO


def _template(name: str | None, settings: SandboxSettings) -> TemplateSettings:
    if not name:
        return TemplateSettings()
    if name not in settings.templates:
        known = ", ".join(sorted(settings.templates)) or "none are configured"
        raise NotFound(f"template {name[:80]!r} not found; there are: {known}", param="template")
    return settings.templates[name]


def _limits(params: CreateParams, usual: LimitSettings, fixed: Fixed) -> LimitSettings:
    """What was asked for; who is no operator may have less than usual, not more."""
    asked = _plain(params.limits or {})
    limits = _fitting(limits_of(usual, asked), "inodes_max" in asked)
    for name in asked if not fixed.operator else ():
        if _amount(limits, name) > _amount(usual, name):
            most = getattr(usual, name)
            raise PermissionDenied(
                f"cannot have {name} {asked[name]}: {most} is the most here; name a template instead"
            )
    return limits


def _fitting(limits: LimitSettings, chosen: bool) -> LimitSettings:
    """A disk has room for so many inodes: fewer than usual on a small one. Raises InvalidArgument."""
    size = values.size(limits.disk_max)
    most = size // BYTES_PER_INODE
    if size < LEAST_DISK:
        raise InvalidArgument(f"limits.disk_max must be at least {LEAST_DISK // 2**20}M", param="limits")
    if chosen and limits.inodes_max > most:
        raise InvalidArgument(
            f"limits.inodes_max must be at most {most} on a disk of {limits.disk_max}", param="limits"
        )
    return msgspec.structs.replace(limits, inodes_max=min(limits.inodes_max, most))


def _amount(limits: LimitSettings, name: str) -> float:
    given = getattr(limits, name)
    if name == "cpu_quota":
        return values.permyriad(given, limit=values.UNBOUNDED_SHARE) if given else math.inf
    return given if isinstance(given, int) else values.size(given)


def _lifetime(params: CreateParams, settings: SandboxSettings, fixed: Fixed) -> float:
    usual = seconds("lifetime", settings.lifetime)
    lifetime = seconds("lifetime", params.lifetime) if params.lifetime else usual
    if not fixed.operator and usual and not 0 < lifetime <= usual:
        raise PermissionDenied(f"cannot live for {params.lifetime}: {settings.lifetime} is the most here")
    return lifetime


def _plain(given: dict[str, object]) -> dict[str, str | int]:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise InvalidArgument(f"limits.{name} must be a string or a whole number", param="limits")
    return given  # type: ignore[return-value]


def _base(params: CreateParams, template: TemplateSettings, settings: SandboxSettings, fixed: Fixed) -> str:
    if params.base is not None:
        if not fixed.operator:
            raise PermissionDenied("cannot choose a base: that is for operators; name a template instead")
        if fixed.layers:
            raise InvalidArgument("cannot choose a base for a snapshot: it has its own", param="base")
    chosen = (params.base, fixed.base, template.base_rootfs, settings.base_rootfs)
    base = next((one for one in chosen if one is not None), "")
    if base and not (os.path.isabs(base) and os.path.isdir(base)):
        raise InvalidArgument(
            f"cannot use the base {base!r}: it must be the absolute path of a directory", param="base"
        )
    return os.path.realpath(base) if base else ""


def _tools(base: str, template: TemplateSettings, settings: SandboxSettings) -> tuple[str, ...]:
    """A base is whole in itself, unless the template adds to it."""
    given = template.tools if template.tools is not None else () if base else settings.tools or tools.usual()
    if missing := [tree for tree in given if not os.path.isdir(tree)]:
        raise InvalidArgument(f"cannot give a session the tools {missing[0]!r}: there is no such directory here")
    return tuple(given)


def _network(params: CreateParams, template: TemplateSettings, settings: SandboxSettings, fixed: Fixed) -> str:
    allowed = template.network or ("isolated" if settings.isolate_network else "host")
    asked = _one_of("network", params.network or allowed, NETWORKS)
    if asked == "host" and allowed != "host" and not fixed.operator:
        raise PermissionDenied("cannot have the host's network: neither the template nor the settings allow it")
    return asked


def _env(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        check_variable(name, value)
    if sum(len(name) + len(value) for name, value in env.items()) > MOST_ENV_BYTES:
        raise InvalidArgument(f"env must be at most {MOST_ENV_BYTES} bytes in all", param="env")
    return env


def check_variable(name: str, value: str) -> None:
    """Raises InvalidArgument for what execve(2) could not pass on as it is."""
    if not name or "=" in name or "\0" in name or "\0" in value:
        raise InvalidArgument(f"cannot set the variable {name[:80]!r}: no name, or a NUL or = in it", param="env")


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > MOST_LABELS or any(max(len(k), len(v)) > LONGEST_LABEL or not k for k, v in labels.items()):
        raise InvalidArgument(f"labels: at most {MOST_LABELS} of at most {LONGEST_LABEL} characters", param="labels")
    return labels


def _one_of(param: str, word: str, known: tuple[str, ...]) -> str:
    if word not in known:
        raise InvalidArgument(f"{param} must be one of {', '.join(known)}", param=param)
    return word

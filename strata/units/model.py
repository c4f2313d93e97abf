# SPDX-License-Identifier: MIT
"""What a manifest says, as frozen values. `manifest.py` reads them, `render.py` writes them down as unit text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

import msgspec

Type: TypeAlias = Literal["notify", "exec"]
Activation: TypeAlias = Literal["always", "on-demand"]
Profile: TypeAlias = Literal["plain", "sealed", "machine"]
HealthKind: TypeAlias = Literal["watchdog", "http", "tcp", "exec"]
Verbatim: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]

EMPTY: Mapping[str, str] = MappingProxyType({})
NO_UNIT: Verbatim = MappingProxyType({})


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """A socket that systemd listens on for the service. `listen` as in ListenStream= (systemd.socket(5))."""

    listen: str
    mode: int = 0o666


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is known to be alive: `url` for http, `target` (host:port, path) for tcp, `command` for exec."""

    kind: HealthKind
    url: str = ""
    target: str = ""
    command: tuple[str, ...] = ()
    interval_sec: float = 10.0
    timeout_sec: float = 5.0
    failures: int = 3


class Restart(msgspec.Struct, frozen=True, kw_only=True):
    """Wait `backoff_sec`, growing to `backoff_max_sec`; more than `crashes` starts in `window_sec` are quarantine."""

    backoff_sec: float = 1.0
    backoff_max_sec: float = 30.0
    crashes: int = 5
    window_sec: float = 120.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Resource limits in systemd's own notation (systemd.resource-control(5)); empty means no limit of ours."""

    memory_high: str = ""
    memory_max: str = ""
    memory_swap_max: str = ""
    tasks_max: str = ""
    cpu_quota: str = ""
    cpu_weight: str = ""
    io_weight: str = ""
    files_max: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One service. `unit` holds directives verbatim, by section; `source` says which file all this came from."""

    name: str
    command: tuple[str, ...]
    description: str = ""
    type: Type = "exec"
    after: tuple[str, ...] = ()
    socket: Socket | None = None
    health: Health | None = None
    restart: Restart = Restart()
    limits: Limits = Limits()
    activation: Activation = "always"
    profile: Profile = "plain"
    state_directory: bool = False
    environment: Mapping[str, str] = EMPTY
    credentials: Mapping[str, str] = EMPTY
    start_timeout_sec: float = 30.0
    stop_timeout_sec: float = 10.0
    unit: Verbatim = NO_UNIT
    core: bool = False
    source: str = ""


class UnitText(NamedTuple):
    """A unit's name and the whole text of its file."""

    name: str
    text: str

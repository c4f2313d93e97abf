# SPDX-License-Identifier: MIT
"""Options that methods of both clients take by keyword; what is left out is as the room's settings say."""

# No `from __future__ import annotations`: NamedTuple and TypedDict compile annotations that are text, one by one.

from collections.abc import Mapping
from os import PathLike
from typing import Any, Protocol, TypeAlias, TypedDict

LONGEST_WAIT = 600.0
"""Seconds that the service lets one wait take."""


class Limits(TypedDict, total=False):
    """What a session may use. Sizes in bytes, or text such as 512M."""

    memory_max: str | int
    tasks_max: int
    cpu_quota: str
    disk_max: str | int
    inodes_max: int
    files_max: int


class CreateOptions(TypedDict, total=False):
    """How a session is made. `ttl` and `lifetime` as in systemd.time(7), such as 30m."""

    template: str
    base: str
    network: str
    driver: str
    env: Mapping[str, str]
    labels: Mapping[str, str]
    limits: Limits
    ttl: str
    lifetime: str
    from_snapshot: str


class ForkOptions(TypedDict, total=False):
    """What a fork has of its own."""

    env: Mapping[str, str]
    labels: Mapping[str, str]
    ttl: str
    lifetime: str


class RunOptions(TypedDict, total=False):
    """How a program is started; `timeout` in seconds."""

    env: Mapping[str, str] | None
    cwd: str | None
    timeout: float | None


class HasFileno(Protocol):
    """An open file or socket."""

    def fileno(self) -> int: ...


Descriptor: TypeAlias = int | HasFileno
Input: TypeAlias = str | bytes | Descriptor | None
LocalPath: TypeAlias = str | PathLike[str]


def run_params(argv: Any, options: RunOptions) -> dict[str, Any]:
    """The parameters of sandbox.run."""
    return {
        "argv": list(argv),
        "env": options.get("env"),
        "cwd": options.get("cwd"),
        "timeout_ms": milliseconds(options.get("timeout")),
    }


def milliseconds(seconds: float | None) -> int | None:
    """As the wire has it: at least one, for 0 means the default there."""
    return None if seconds is None else max(1, round(seconds * 1000))


def given(params: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are not None."""
    return {name: value for name, value in params.items() if value is not None}

# SPDX-License-Identifier: MIT
"""What the root of a session is to be, and what it has become. Plain tuples: they live in the launcher's forks."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

STAGE = "/sys"
"""Where a root is put together, in the first process's own mount namespace, covering what is of no use there.

Bubblewrap is nobody on the host by the time it binds the root, so the way there must be open to all. Of the
directories that every Linux has, no session, no program and no base lies below this one.
"""
ROOT = f"{STAGE}/root"
DISK = f"{STAGE}/disk"
LOWER = f"{STAGE}/lower"
"""Where all lower layers are mounted as one tree when somebody wants to see them so."""
MARK = f"{STAGE}/session"
"""A link that says whose stage it is: to the session's directory."""
HOME = "root"
"""Root's home, below the root of a session; beside it in `upper` lies what else was written."""

MIB = 1024 * 1024
_TMP_BYTES = 256 * MIB


class Plan(NamedTuple):
    """A root to build. Sizes in bytes; `layers` are images or directories of snapshots, the topmost first."""

    directory: str
    base: str  # "" is the host's own /usr
    tools: tuple[str, ...]  # trees of programs below /nix/store, which is shown for them
    driver: str  # auto, kernel, fuse or none
    layers: tuple[str, ...]
    disk_bytes: int
    inodes: int
    uid_base: int  # who root inside is outside
    mapped: bool  # a range of users (system mode), not the caller alone
    network: str
    stock: str  # what sessions share: empty images, skeletons
    tmp_bytes: int
    memory_bytes: int  # of all its processes and all its files in memory together; 0 for no bound

    def part_of_memory(self, most: int, share: int) -> int:
        """Size of a file system in memory: `most` bytes, but not more than one in `share` of what the session has.

        Files there are charged to it, too, and nothing but removing them frees any: a session whose memory they fill
        could not even start the program that removes them.
        """
        return min(most, self.memory_bytes // share) if self.memory_bytes else most


class Root(NamedTuple):
    """A root that stands, in the mount namespace of the caller. `inherited`: descriptors that bubblewrap must keep."""

    path: str
    exchange: str  # a directory that is /run/strata inside
    shell: str
    small_shell: str  # for the payload
    driver: str
    disk: str  # image or tmpfs
    arguments: tuple[str, ...]
    warnings: tuple[str, ...]
    processes: tuple[int, ...] = ()
    inherited: tuple[int, ...] = ()


def lowers_of(plan: Plan) -> list[str]:
    """Where the lower layers lie below the stage, the topmost first."""
    layers = [f"layer{number}/upper" for number in range(len(plan.layers))]
    return [*layers, *(("base", "places") if plan.base else ("skeleton",))]


def read(raw: dict[str, Any]) -> Plan:
    """A plan from plain JSON values; see `Plan` for what is in it."""
    directory = raw["directory"]
    above = os.path.dirname(os.path.dirname(os.path.dirname(directory)))  # sessions/OWNER/SESSION
    return Plan(
        directory,
        raw.get("base", ""),
        tuple(raw.get("tools", ())),
        raw.get("driver", "auto"),
        tuple(raw.get("layers", ())),
        raw["disk_bytes"],
        raw["inodes"],
        raw["uid_base"] if raw["mapped"] else 0,
        raw["mapped"],
        raw.get("network", "isolated"),
        raw.get("stock") or os.path.join(above, "stock"),
        raw.get("tmp_bytes") or min(raw["disk_bytes"], _TMP_BYTES),
        raw.get("memory_bytes", 0),
    )

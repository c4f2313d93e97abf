# SPDX-License-Identifier: MIT
"""A cgroup of our own in every hierarchy of the machine, below which a private systemd keeps all that it makes.

The machine's own cgroups are never written to: directories are made beside them, and only processes that we started
are put there. They hang from the top of what this process can see, not from its own cgroup, because the private
systemd outlives the session that boots it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Hierarchy(NamedTuple):
    """One mounted cgroup hierarchy: where, `cgroup` (v1) or `cgroup2`, and what tells v1 hierarchies apart."""

    mount_point: Path
    kind: str
    options: str


# Mount options of a v1 hierarchy that do not say which one it is (cgroups(7); cgroup_show_options in the kernel).
_COMMON = {"rw", "ro", "clone_children", "noprefix", "xattr", "cpuset_v2_mode", "favordynmods"}


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """Read the cgroup mounts out of the text of /proc/PID/mountinfo (proc(5)), one for each hierarchy."""
    found: dict[str, Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ")[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        kept = () if kind == "cgroup2" else (o for o in options.split(",") if not o.startswith("release_agent"))
        name = ",".join(o for o in kept if o not in _COMMON)
        # The first one wins: a later bind mount of the same hierarchy adds nothing.
        found.setdefault(f"{kind} {name}", Hierarchy(Path(left.split(" ")[4]), kind, name))
    return list(found.values())


def make(found: Iterable[Hierarchy], name: str) -> tuple[Path, ...]:
    """Make the cgroup `name` at the top of each hierarchy, ready to take processes."""
    return tuple(_make_one(h.mount_point / name) for h in found)


def leaves(parents: Iterable[Path], name: str) -> tuple[Path, ...]:
    """Make the cgroup `name` below each of our own cgroups."""
    return tuple(_make_one(parent / name) for parent in parents)


def join(cgroups: Iterable[Path]) -> None:
    """Move the calling process, and so its later children, into each of these cgroups."""
    for cgroup in cgroups:
        (cgroup / "cgroup.procs").write_text("0")


def members(cgroups: Iterable[Path]) -> set[int]:
    """The processes in these cgroups and all below them, as this PID namespace numbers them."""
    found: set[int] = set()
    for directory in _below(cgroups):
        try:
            found.update(map(int, (directory / "cgroup.procs").read_text().split()))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):  # removed before, or while it was read
                raise
    return found - {0}


def remove(cgroups: Iterable[Path], timeout: float) -> list[Path]:
    """Remove these cgroups, deepest first, and return what is left after `timeout` seconds.

    The kernel lets go of a dead process' cgroup a little after the process is gone, so busy ones are tried again.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = [directory for directory in _below(cgroups) if not _removed(directory)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


def kill(cgroups: Iterable[Path]) -> None:
    """SIGKILL every process in these cgroups of ours."""
    for pid in members(cgroups):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _make_one(cgroup: Path) -> Path:
    cgroup.mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):
        # A v1 cpuset is born empty and takes no process before both are set (cpuset(7)). A v2 one inherits.
        own, above = cgroup / setting, cgroup.parent / setting
        if not (cgroup / "cgroup.controllers").exists() and own.exists() and not own.read_text().strip():
            own.write_text(above.read_text())
    return cgroup


def _below(cgroups: Iterable[Path]) -> Iterator[Path]:
    for cgroup in cgroups:
        for directory, _, _ in os.walk(cgroup, topdown=False):
            yield Path(directory)


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True

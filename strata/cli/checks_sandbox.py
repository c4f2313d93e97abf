# SPDX-License-Identifier: MIT
"""What sandboxes need, found out by doing it in a process of its own (strata.sandbox.fitness)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import NamedTuple

from strata import programs
from strata.cli.checks import FAIL, OK, WARN, Finding

_SECONDS = 30.0
_NEEDS_ROOT = "run Strata as root"


class Row(NamedTuple):
    """A feature: how bad it is without, what it is for, and how it is had. `package` is what has to be installed."""

    feature: str
    name: str
    level: str
    good: str
    mend: str
    package: str = ""


DRIVERS = ("kernel", "fuse", "none")
ROWS = (
    Row(
        "namespace",
        "sandbox namespaces",
        FAIL,
        "user and mount namespaces may be made",
        "sysctl -w user.max_user_namespaces=15000   # in a container: run it privileged",
    ),
    Row(
        "seccomp",
        "seccomp",
        FAIL,
        "system calls are filtered",
        "in a container: run it privileged",
        "libseccomp",
    ),
    Row(
        "kernel",
        "overlay by the kernel",
        WARN,
        "works",
        "modprobe overlay   # Linux 5.19 or newer; without it fuse-overlayfs or no overlay is used",
    ),
    Row(
        "fuse",
        "overlay by fuse-overlayfs",
        WARN,
        "works",
        "then modprobe fuse; in a container: pass /dev/fuse in",
        "fuse-overlayfs",
    ),
    Row(
        "image",
        "sandbox disks",
        WARN,
        "files of a session lie in a loop image of bounded size",
        "modprobe loop   # in a container: pass /dev/loop-control in; without it files are kept in memory",
    ),
    Row(
        "owners",
        "sandbox users",
        WARN,
        "each session has a range of user ids of its own (idmapped mounts)",
        "upgrade to Linux 5.19 or newer",
    ),
)


def findings() -> list[Finding]:
    """A row for each feature; all of them failed when nothing could be tried."""
    argv = [sys.executable, "-P", "-m", "strata.sandbox.fitness"]
    try:
        tried = subprocess.run(argv, capture_output=True, text=True, timeout=_SECONDS, check=True)
        found: dict[str, str] = json.loads(tried.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return [Finding("sandboxes", FAIL, f"cannot try: {said[-1] if said else error}", "strata-ctl doctor as root")]
    return told(found, os.geteuid() == 0)


def told(found: dict[str, str], root: bool) -> list[Finding]:
    """The rows, and one for the drivers together, of which a session needs one."""
    rows = [_row(row, found.get(row.feature, "not tried"), root) for row in ROWS]
    works = [name for name in DRIVERS if not found.get(name, "not tried")]
    if works:
        return [*rows, Finding("sandbox drivers", OK, ", ".join(works))]
    reasons = "; ".join(f"{name}: {found.get(name, 'not tried')}" for name in DRIVERS)
    return [*rows, Finding("sandbox drivers", FAIL, reasons, "mend one of what stands above")]


def _row(row: Row, reason: str, root: bool) -> Finding:
    if not reason:
        return Finding(row.name, OK, row.good)
    if not root and reason.startswith("only root"):
        return Finding(row.name, row.level, reason, _NEEDS_ROOT)
    mend = f"{programs.install(row.package)}   # {row.mend}" if row.package else row.mend
    return Finding(row.name, row.level, reason, mend)

# SPDX-License-Identifier: MIT
"""What a session uses, asked of the kernel when somebody asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from strata.sandbox.cgroup import Group
from strata.sandbox.session import Session

_KINDS = ("cpu", "memory", "io")


def of(session: Session) -> dict[str, Any]:
    """Cpu time in milliseconds, sizes in bytes; None where this machine has no controller that says.

    `disk` and `inodes` are of the session's own file system, which holds nothing else.
    """
    group = session.groups.scope
    used = group.usage()
    return {
        "cpu_ms": round(used.cpu_usec / 1000, 3),
        "memory": group.memory_now(),
        "memory_peak": used.memory_peak,
        "oom_kills": used.oom_kills,
        "tasks": group.tasks(),
        "io": _io(group),
        "pressure": _pressure(group),
        **_disk(session.entrance.init),
    }


def _io(group: Group) -> dict[str, int] | None:
    text = _text(group.tree / "io.stat")
    if not text:
        return None
    sums: dict[str, int] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if equals and name in ("rbytes", "wbytes", "rios", "wios"):
            sums[name] = sums.get(name, 0) + int(value)
    return sums


def _pressure(group: Group) -> dict[str, float] | None:
    """Share of the last 10 s in which some process waited, in percent (PSI, cgroup2 only)."""
    found = {}
    for kind in _KINDS:
        words = _text(group.tree / f"{kind}.pressure").split()
        if len(words) > 1:
            found[kind] = float(words[1].partition("=")[2])
    return found or None


def _disk(init: int) -> dict[str, int | None]:
    try:
        # Whoever is root inside may have put a link there, and it would lead through our tree.
        home = os.open(f"/proc/{_pid(init)}/root/root", os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return {"disk": None, "disk_max": None, "inodes": None}
    try:
        found = os.fstatvfs(home)
    finally:
        os.close(home)
    return {
        "disk": (found.f_blocks - found.f_bfree) * found.f_frsize,
        "disk_max": found.f_blocks * found.f_frsize,
        "inodes": found.f_files - found.f_ffree,
    }


def _pid(pidfd: int) -> int:
    for line in _text(Path(f"/proc/self/fdinfo/{pidfd}")).splitlines():
        name, _, value = line.partition(":")
        if name == "Pid":
            return int(value)
    return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

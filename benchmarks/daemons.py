# SPDX-License-Identifier: MIT
"""The daemons as the machine sees them: resident memory against its ceiling, and systemd's view of their exposure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarks.harness import Figure, unmeasured
from benchmarks.place import Place

CEILINGS = {"registry": 30.0, "identity": 45.0, "fs": 45.0, "supervisor": 60.0}
"""Resident megabytes (10⁶ bytes)."""

EXPOSURE: dict[str, float | None] = {"registry": 2.0, "identity": 2.0, "fs": 2.0, "supervisor": None}
"""Highest `systemd-analyze security` figure; the supervisor's is explained in docs/security.md."""


def figures(place: Place) -> Iterator[Figure]:
    """After the load of the other figures, so not the memory of a process that has done nothing yet."""
    for name, ceiling in CEILINGS.items():
        measured = resident(place, main_pid(place, name))
        yield Figure(f"memory: {name}", "resident (VmRSS)", measured, "MB", at_most=ceiling)
    for name, highest in EXPOSURE.items():
        yield exposure(place, name, highest)


def exposure(place: Place, name: str, highest: float | None) -> Figure:
    unit, what = f"strata-{name}.service", "systemd-analyze security"
    scope = ["--user"] if place.mode == "user" else []
    said = place.beside("systemd-analyze", *scope, "security", "--no-pager", unit)
    found = re.search(r"exposure level for .*: ([\d.]+)", said)
    if not found:
        return unmeasured(f"exposure: {name}", what, "systemd-analyze gave no figure")
    return Figure(f"exposure: {name}", what, float(found[1]), "", at_most=highest)


def main_pid(place: Place, name: str) -> int:
    """The pid of a service's main process, as seen beside its systemd."""
    return int(place.property(f"strata-{name}.service", "MainPID"))


def resident(place: Place, pid: int) -> float:
    """VmRSS in megabytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", place.beside("cat", f"/proc/{pid}/status"))
    if not found:
        raise RuntimeError(f"cannot read the memory of process {pid}")
    return int(found[1]) * 1024 / 1e6


def descriptors(place: Place, pid: int) -> int:
    """Open descriptors."""
    return len(place.beside("ls", f"/proc/{pid}/fd").split())

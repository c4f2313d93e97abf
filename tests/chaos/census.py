# SPDX-License-Identifier: MIT
"""Who lives in a world: its processes, each with its unit and its part, as the whole machine sees them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from strata.embedded import record
from strata.embedded.record import Embedded


class Proc(NamedTuple):
    """A process. `role` is what it is in Strata, `below` its cgroup below its unit's; `start` tells it from a later
    one of the same number."""

    role: str
    unit: str
    below: str
    command: str
    pid: int
    start: int

    def signal(self, number: int) -> bool:
        """Whether it was still there to get it."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if record.start_time(self.pid) != self.start:
                return False
            signal.pidfd_send_signal(pidfd, number)
            return True
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)

    def __str__(self) -> str:
        return f"{self.role} {self.pid} ({self.command[:60]}) of {self.unit}"


def processes(embedded: Embedded) -> list[Proc]:
    """All that are in the world's cgroup, by what they are; zombies are left out."""
    top = f"/{embedded.cgroups[-1].name}"
    return sorted(_found(top))


def _found(top: str) -> Iterator[Proc]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            path = cgroup(int(name))
            if path is not None and (path + "/").startswith(top + "/"):
                start = record.start_time(int(name))
                if start is not None:
                    yield _proc(int(name), path.removeprefix(top), start)


def cgroup(pid: int) -> str | None:
    """The path of a process in the unified hierarchy."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None


def _proc(pid: int, path: str, start: int) -> Proc:
    words = path.strip("/").split("/")
    at = next((n for n, word in enumerate(words) if word.endswith((".service", ".scope"))), None)
    unit, below = ("", path) if at is None else (words[at], "/".join(words[at + 1 :]))
    command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    comm = Path(f"/proc/{pid}/comm").read_text().strip()
    return Proc(_role(unit, below, comm, command), unit, below, command, pid, start)


def _role(unit: str, below: str, comm: str, command: str) -> str:
    if unit.startswith("strata-sandbox-") and unit.endswith(".scope"):
        return _inside(below, comm)
    if unit.startswith("strata-svc-"):
        return "service"
    name = unit.removeprefix("strata-").removesuffix(".service")
    if unit.startswith("strata-"):
        if "strata.systemd.gateway" in command:
            return f"{name}-gateway"
        if comm == "strata-launcher":
            return "launcher"
        return name if f"strata.{name}.main" in command else f"{name}-child"
    return {"init.scope": "pid1", "systemd-journald.service": "journald"}.get(unit, "foreign")


def _inside(below: str, comm: str) -> str:
    part = below.partition("-")[0].partition("/")[0]
    if part == "payload":
        return "bwrap" if comm == "bwrap" else "payload"
    return {"keepers": "keeper", "shell": "shell", "run": "run", "term": "terminal"}.get(part, "inside")

# SPDX-License-Identifier: MIT
"""What the machine says of Strata's processes, asked beside its systemd: `python inside.py QUESTION …`, answer in JSON.

Run by its path and with the standard library alone, so that it works wherever Strata does.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Process(NamedTuple):
    """One process and the unit that it belongs to."""

    pid: int
    unit: str
    name: str


def processes() -> Iterator[Process]:
    """Those of Strata's units (cgroups(7): the unit is a component of the path)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            lines, name = (entry / "cgroup").read_text().splitlines(), (entry / "comm").read_text().strip()
        except OSError:  # it has just ended
            continue
        words = {word for line in lines for word in line.split("/") if word.startswith("strata-")}
        # A v1 hierarchy that nobody counts by has a session's processes where they were born: with the room.
        scopes, services = ([word for word in words if word.endswith(end)] for end in (".scope", ".service"))
        unit = (*scopes, *services, "")[0]
        if unit:
            yield Process(int(entry.name), unit, name)


def memory() -> dict[str, dict[str, float]]:
    """PSS in KiB of every process in a session's scope: {scope: {"PID NAME": KiB}}."""
    found: dict[str, dict[str, float]] = {}
    for one in processes():
        if one.unit.startswith("strata-sandbox-") and one.unit.endswith(".scope"):
            found.setdefault(one.unit, {})[f"{one.pid} {one.name}"] = _pss(one.pid)
    return found


def busy(seconds: str) -> dict[str, float]:
    """Processor seconds that the manager and each service used meanwhile."""
    before = _used()
    time.sleep(float(seconds))
    return {unit: used - before.get(unit, used) for unit, used in _used().items()}


def left(state: str) -> dict[str, Any]:
    """Everything that sessions can leave behind, and what the processes that serve them hold."""
    all_of_them = tuple(processes())
    sandbox = Path(state) / "sandbox" / "sessions"
    return {
        "processes": sum(one.unit.endswith(".scope") for one in all_of_them),
        "mounts": sum(len(_lines(f"/proc/{one.pid}/mountinfo")) for one in all_of_them if one.unit.endswith("service")),
        "cgroups": sum("strata-sandbox-" in name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names),
        "directories": sum(1 for _ in sandbox.rglob("*")),
        "loop devices": len(list(Path("/sys/block").glob("loop*/loop/backing_file"))),
        "served by": {_label(one): _held(one.pid) for one in all_of_them if one.unit in _SERVING},
    }


_SERVING = ("strata-sandbox.service", "strata-api.service", "strata-supervisor.service")


def _label(one: Process) -> str:
    """A name for a process of a service: its gateway and its launcher are beside its main one."""
    words = Path(f"/proc/{one.pid}/cmdline").read_bytes().decode().split("\0")
    module = words[words.index("-m") + 1] if "-m" in words else one.name
    return f"{one.unit.removeprefix('strata-').removesuffix('.service')}: {module.removeprefix('strata.')}"


def _held(pid: int) -> dict[str, float]:
    return {"descriptors": len(os.listdir(f"/proc/{pid}/fd")), "MB": _status(pid, "VmRSS") * 1024 / 1e6}


def peak(*pids: str) -> dict[str, float]:
    """The most that each process had resident, in megabytes, since it began or `forget` was asked."""
    return {pid: _status(int(pid), "VmHWM") * 1024 / 1e6 for pid in pids}


def forget(*pids: str) -> dict[str, float]:
    """Have `peak` begin anew (proc(5), clear_refs); what they have now."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(*pids)


def _used() -> dict[str, float]:
    """By unit; the manager's as `manager`: it is the parent of the supervisor."""
    found: dict[str, float] = {}
    for one in processes():
        if one.unit.endswith(".service"):
            found[one.unit] = found.get(one.unit, 0.0) + _seconds(one.pid)
        if one.unit == "strata-registry.service":
            found["manager"] = _seconds(int(_status(one.pid, "PPid")))
    return found


def _seconds(pid: int) -> float:
    """On a processor, all threads, to the nanosecond (schedstat; stat(5) counts in hundredths)."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _pss(pid: int) -> float:
    rows = (line.split() for line in _lines(f"/proc/{pid}/smaps_rollup"))
    return next((float(row[1]) for row in rows if row[0] == "Pss:"), 0.0)


def _status(pid: int, name: str) -> float:
    rows = (line.split() for line in _lines(f"/proc/{pid}/status"))
    return next(float(row[1]) for row in rows if row[0] == f"{name}:")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []


QUESTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function for function in (memory, busy, left, peak, forget)
}

if __name__ == "__main__":
    print(json.dumps(QUESTIONS[sys.argv[1]](*sys.argv[2:])))

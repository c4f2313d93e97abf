# SPDX-License-Identifier: MIT
"""What each process that serves sessions and services weighs, asked beside its systemd: `python scaling_inside.py`.

Run by its path and with the standard library alone, as inside.py is. Answers {role: {seconds, kib, descriptors}}:
processor time since it began, PSS, open descriptors. Of all that ever ran below strata.slice, only the time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

ROLES = {
    "strata.supervisor.main": "supervisor",
    "strata.sandbox.main": "room",
    "strata.sandbox.launcher.main": "launcher",
    "strata.api.main": "door",
    "strata.registry.main": "registry",
    "strata.identity.main": "identity",
    "strata.fs.main": "fs",
}
_SLICE = "/strata.slice"
GATEWAY, GATEWAYS = "strata.systemd.gateway", {"room": "room's gateway", "supervisor": "supervisor's gateway"}
Weight = dict[str, float]


def weights() -> dict[str, Weight]:
    """By role. `sessions` are all processes in scopes of sessions together."""
    found: dict[int, str] = {}
    sessions: Weight = {"seconds": 0.0, "kib": 0.0, "descriptors": 0.0}
    for pid in _pids():
        module, scope = _module(pid), _in_a_session(pid)
        if scope:
            sessions["kib"] += _pss(pid)
        elif module in ROLES:
            found[pid] = ROLES[module]
        elif _name(pid) == "systemd-journal":
            found[pid] = "journald"
    for pid in _pids():
        parent = found.get(_parent(pid), "")
        if _module(pid) == GATEWAY and parent in GATEWAYS:
            found[pid] = GATEWAYS[parent]
    supervisor = next(pid for pid, role in found.items() if role == "supervisor")
    found[_parent(supervisor)] = "PID 1"
    answer = {role: _weight(pid) for pid, role in found.items()}
    everything: Weight = {"seconds": _below_our_slice(supervisor), "kib": 0.0, "descriptors": 0.0}
    return answer | {"sessions": sessions, "everything": everything}


def _weight(pid: int) -> Weight:
    return {"seconds": _seconds(pid), "kib": _pss(pid), "descriptors": float(len(os.listdir(f"/proc/{pid}/fd")))}


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _module(pid: int) -> str:
    words = _text(pid, "cmdline").split("\0")
    return words[words.index("-m") + 1] if "-m" in words[:-1] else ""


def _name(pid: int) -> str:
    return _text(pid, "comm").strip()


def _in_a_session(pid: int) -> bool:
    words = (word for line in _text(pid, "cgroup").splitlines() for word in line.split("/"))
    return any(word.startswith("strata-sandbox-") and word.endswith(".scope") for word in words)


def _parent(pid: int) -> int:
    return int(_field(_text(pid, "status"), "PPid:"))


def _pss(pid: int) -> float:
    return _field(_text(pid, "smaps_rollup"), "Pss:")


def _field(text: str, name: str) -> float:
    rows = (line.split() for line in text.splitlines())
    return next((float(row[1]) for row in rows if row[:1] == [name]), 0.0)


def _seconds(pid: int) -> float:
    """On a processor, all threads, to the nanosecond (schedstat; stat(5) counts in hundredths)."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _below_our_slice(supervisor: int) -> float:
    """Of every process that is or was below strata.slice (cpu.stat, which needs no controller)."""
    path = next(line[3:] for line in _text(supervisor, "cgroup").splitlines() if line.startswith("0::"))
    top = path[: path.index(_SLICE) + len(_SLICE)]
    trees = (Path(tree + top, "cpu.stat") for tree in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"))
    return _field(next(file for file in trees if file.exists()).read_text(), "usage_usec") / 1e6


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return ""


if __name__ == "__main__":
    print(json.dumps(weights()))

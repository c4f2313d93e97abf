# SPDX-License-Identifier: MIT
"""What the machine holds for Strata at a moment, counted from outside and by reading files alone."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from soak_place import Place

_SMAPS = {"Pss": "pss", "Anonymous": "own memory", "Rss": "rss"}
# systemd never removes these: unit_unlink_state_files() looks for them under another name. One for each name of a
# service there ever was.
_SYSTEMDS_OWN = "log-extra-fields:"
_SERVED = re.compile(r"(strata-(?!svc-)[a-z]+|systemd-journald)\.service$")


class Value(NamedTuple):
    """A figure, and the life that it belongs to: the pid where it is one process's, else ""."""

    value: float
    life: str = ""


Sample = dict[str, Value]


def take(place: Place) -> Sample:
    """Every quantity now. What ends while it is being looked at is left out."""
    found: Sample = {}
    pids = dict(_processes(place.cgroups))
    for label, pid in _followed(pids, place.pid).items():
        found.update(_process(pid, label))
    found["processes"] = Value(len(pids))
    found["cgroups"] = Value(sum(1 for top in place.cgroups for _ in os.walk(top)))
    found["loop devices"] = Value(_loops(place.node.manager.paths.state_dir))
    found.update(_mounts(place, pids))
    found.update(_directories(place))
    found.update(_systemd(place))
    return found


def _processes(tops: tuple[Path, ...]) -> Iterator[tuple[int, str]]:
    """Those below the private root, with their cgroup's path below it: systemd's own hierarchy has them all."""
    top = next((top for top in tops if "/systemd/" in f"{top}/" or "/unified/" in f"{top}/"), tops[0])
    for where, _, _ in os.walk(top):
        with contextlib.suppress(OSError):
            for pid in Path(where, "cgroup.procs").read_text().split():
                yield int(pid), where


def _followed(pids: dict[int, str], first: int) -> dict[str, int]:
    """The processes of which each figure is shown. A fork has its parent's words: the oldest of that name counts."""
    born: dict[str, tuple[int, int]] = {}
    for pid, where in pids.items():
        if label := _label(pid, where, first):
            with contextlib.suppress(OSError):
                mine = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), pid  # starttime
                born[label] = min(born.get(label, mine), mine)
    return {label: pid for label, (_, pid) in born.items()}


def _label(pid: int, where: str, first: int) -> str:
    """Of the processes that are followed one by one: PID 1, journald, and those of Strata's own services."""
    if pid == first:
        return "PID 1"
    unit = next((part for part in reversed(where.split("/")) if _SERVED.match(part)), "")
    if not unit:
        return ""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        service = unit.removesuffix(".service").removeprefix("strata-")
        if "-m" in words and (module := words[words.index("-m") + 1]).startswith("strata."):
            return f"{service}: {module.removeprefix('strata.')}"
        return service if service == "systemd-journald" else ""  # else one that has not become Strata yet
    return ""


def _process(pid: int, label: str) -> Sample:
    found: Sample = {}
    with contextlib.suppress(OSError):
        rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        life = str(pid)
        for name, what in _SMAPS.items():
            found[f"{label}: {what}"] = Value(int(rows[name].split()[0]) / 1024, life)
        found[f"{label}: descriptors"] = Value(len(os.listdir(f"/proc/{pid}/fd")), life)
        found[f"{label}: threads"] = Value(len(os.listdir(f"/proc/{pid}/task")), life)
    return found


def _loops(state: Path) -> int:
    count = 0
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            count += file.read_text().startswith(f"{state}/")
    return count


def _mounts(place: Place, pids: dict[int, str]) -> Sample:
    found = {"mounts of PID 1": Value(_lines(place.pid))}
    for pid, where in pids.items():
        if where.endswith("/strata-sandbox.service") and _label(pid, where, 0) == "sandbox: sandbox.main":
            found["mounts of sandbox"] = Value(_lines(pid), str(pid))
    return found


def _lines(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())
    return 0


def _directories(place: Place) -> Sample:
    found = {}
    for name, top in _tops(place).items():
        files, size = measured(top)
        found[f"{name}: files"] = Value(files)
        found[f"{name}: MiB"] = Value(size / 2**20)
    return found


def _tops(place: Place) -> dict[str, Path]:
    paths, root = place.node.manager.paths, Path(f"/proc/{place.pid}/root")
    return {
        "runtime directory": paths.runtime_dir,
        "state directory": paths.state_dir,
        "/run/systemd": root / "run/systemd",
        "journal": root / "run/log/journal",
    }


def measured(top: Path) -> tuple[int, int]:
    """Number of entries below a directory, and bytes that they take."""
    files, size = 0, 0
    for where, directories, names in os.walk(top):
        for name in (*directories, *names):
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(where, name)).st_blocks * 512
                files += not name.startswith(_SYSTEMDS_OWN)
    return files, size


def _systemd(place: Place) -> Sample:
    """Units loaded and jobs, as PID 1 counts them (org.freedesktop.systemd1(5))."""
    said = place.beside("systemctl", "show", "--property=NNames", "--property=NJobs", "--property=NFailedUnits")
    rows = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    names = {"NNames": "names of units", "NJobs": "jobs", "NFailedUnits": "failed units"}
    return {names[name]: Value(int(value)) for name, value in rows.items()}


def names(place: Place) -> dict[str, set[str]]:
    """What the units that are loaded and the files are called, to tell which are more than before."""
    said = place.beside("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "--full")
    found = {"names of units": {line.split()[0] for line in said.splitlines() if line.strip()}}
    for name, top in _tops(place).items():
        walked = ((where, one) for where, inner, files in os.walk(top) for one in (*inner, *files))
        found[f"{name}: files"] = {os.path.relpath(os.path.join(where, one), top) for where, one in walked}
    return found

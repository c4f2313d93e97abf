# SPDX-License-Identifier: MIT
"""The cgroups of a session, below its delegated scope (cgroups(7), systemd.resource-control(5) Delegate=).

The cgroup2 tree says who belongs together, kills and freezes: it is there on pure v2 machines and, without
controllers, on hybrid ones. What a group used is asked of whichever hierarchy has the controller; on hybrid machines
that is a v1 hierarchy, where the same group has a directory of the same name.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from pathlib import Path
from typing import NamedTuple

from strata.embedded.cgroups import hierarchies
from strata.errors import Internal, NotFound

_CONTROLLERS = ("cpu", "io", "memory", "pids")
_ROUNDS = 20


class Usage(NamedTuple):
    """What a group used so far. `memory_peak` in bytes, None where no controller says."""

    cpu_usec: int
    memory_peak: int | None
    oom_kills: int


class Group(NamedTuple):
    """One cgroup: its cgroup2 directory, and its directory in the v1 memory hierarchy if there is one."""

    tree: Path
    memory: Path | None = None

    @property
    def directories(self) -> list[str]:
        """What a process has to join to be in the group."""
        return [str(path) for path in (self.tree, self.memory) if path]

    def make(self, name: str) -> Group:
        """A child group. Raises NotFound when this one is gone, and with it what it was of: PID 1 sees that first."""
        child = self.child(name)
        for directory in child.directories:
            try:
                os.mkdir(directory)
            except FileExistsError:
                continue
            except FileNotFoundError as error:
                raise NotFound("session not found") from error
        return child

    def child(self, name: str) -> Group:
        """One directly below, which need not be there."""
        return Group(self.tree / name, self.memory / name if self.memory else None)

    def beside(self, name: str) -> Group:
        """One directly below the same; this one need not be there any more."""
        return Group(self.tree.with_name(name), self.memory.with_name(name) if self.memory else None)

    def children(self) -> list[Group]:
        """The groups directly below."""
        with contextlib.suppress(FileNotFoundError):
            return [self.child(entry.name) for entry in os.scandir(self.tree) if entry.is_dir()]
        return []

    def join(self, pid: int) -> None:
        """Move a process in."""
        for directory in self.directories:
            _write(Path(directory) / "cgroup.procs", str(pid))

    def pids(self) -> list[int]:
        """The processes in it, not those of its children."""
        return [int(word) for word in _read(self.tree / "cgroup.procs").split()]

    @property
    def populated(self) -> bool:
        """Whether a process is in it or below; False when it is gone."""
        return "populated 1" in _read(self.tree / "cgroup.events")

    def kill(self) -> None:
        """SIGKILL to every process in it and below, those being born included (cgroup.kill)."""
        with contextlib.suppress(FileNotFoundError):
            _write(self.tree / "cgroup.kill", "1")

    def kill_but(self, spared: int) -> set[int]:
        """SIGKILL to every process in it but one; frozen meanwhile, so that none is born unseen. Those killed."""
        killed: set[int] = set()
        for _ in range(_ROUNDS):
            self.freeze()
            doomed = [pid for pid in self.pids() if pid not in (spared, 0)]
            for pid in doomed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.thaw()
            if not doomed:
                break
            killed.update(doomed)
        return killed

    def freeze(self) -> None:
        """Stop everything in it; see `frozen`."""
        with contextlib.suppress(FileNotFoundError):  # its last process has ended
            _write(self.tree / "cgroup.freeze", "1")

    def thaw(self) -> None:
        """Let it go on."""
        with contextlib.suppress(FileNotFoundError):
            _write(self.tree / "cgroup.freeze", "0")

    @property
    def frozen(self) -> bool:
        """Whether everything in it has stopped."""
        return "frozen 1" in _read(self.tree / "cgroup.events")

    def usage(self) -> Usage:
        """What it used since it was made, or since `reset_peak`."""
        cpu = _field(_read(self.tree / "cpu.stat"), "usage_usec")
        if self.memory:
            peak = _number(_read(self.memory / "memory.max_usage_in_bytes"))
            return Usage(cpu, peak, _field(_read(self.memory / "memory.oom_control"), "oom_kill"))
        peak = _number(_read(self.tree / "memory.peak"))
        return Usage(cpu, peak, _field(_read(self.tree / "memory.events"), "oom_kill"))

    def memory_now(self) -> int | None:
        """Bytes it uses now."""
        return _number(_read(self.memory / "memory.usage_in_bytes" if self.memory else self.tree / "memory.current"))

    def tasks(self) -> int:
        """Processes in it and below."""
        return len(self.pids()) + sum(child.tasks() for child in self.children())

    def reset_peak(self) -> bool:
        """Begin to measure the peak anew; False where the kernel cannot (cgroup2: per descriptor, from 6.12 on)."""
        if self.memory is None:
            return False
        _write(self.memory / "memory.max_usage_in_bytes", "0")
        return True

    def remove(self) -> bool:
        """Remove it and what is below; False while a process is left."""
        for child in self.children():
            if not child.remove():
                return False
        for directory in self.directories:
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                return False
        return True


class Layout(NamedTuple):
    """Where this machine has the hierarchies; read once."""

    tree: Path
    memory: Path | None
    others: tuple[tuple[str, Path], ...] = ()  # the v1 hierarchies but memory's: a controller, and where it is mounted

    def group_of(self, pid: int, scope: str) -> Group | None:
        """The group of a scope that a process is in, or None while it is somewhere else."""
        places = _places(pid)
        tree = _within(places.get("", ""), scope)
        if tree is None:
            return None
        memory = _within(places.get("memory", ""), scope)
        return Group(self.tree / tree.lstrip("/"), self.memory / memory.lstrip("/") if self.memory and memory else None)

    def beside(self, pid: int, scope: str) -> tuple[str, ...]:
        """The scope's own directories in the other hierarchies, for a process of the scope. Who does not join them is
        not bound by what they limit: tasks and cpu, where those are v1."""
        places = _places(pid)
        found = ((top, _within(places.get(controller, ""), scope)) for controller, top in self.others)
        return tuple(str(top / path.lstrip("/")) for top, path in found if path)


def missing(pid: int, scope: str, group: Group) -> list[str]:
    """Controllers that do not see this scope, so that no limit of theirs holds: a user manager has those that were
    delegated to it."""
    seen = {name for name, path in _places(pid).items() if _within(path, scope)}
    seen |= set(_read(group.tree / "cgroup.controllers").split())
    return [name for name in ("memory", "pids", "cpu") if name not in seen]


def layout() -> Layout:
    """Raises Internal where there is no cgroup2 tree at all."""
    found = hierarchies(Path("/proc/self/mountinfo").read_text())
    tree = next((one.mount_point for one in found if one.kind == "cgroup2"), None)
    if tree is None:
        raise Internal("cannot make sandboxes: no cgroup2 hierarchy is mounted; mount one below /sys/fs/cgroup")
    older = {one.mount_point: one.options.split(",") for one in found if one.kind == "cgroup"}
    memory = next((top for top, names in older.items() if "memory" in names), None)
    return Layout(tree, memory, tuple((names[0], top) for top, names in older.items() if top != memory))


def delegate(root: Group) -> None:
    """Have the children of a scope counted one by one, where cgroup2 has the controllers. The scope itself must hold
    no process by then (cgroups(7), "no internal processes")."""
    available = _read(root.tree / "cgroup.controllers").split()
    wanted = " ".join(f"+{name}" for name in _CONTROLLERS if name in available)
    if wanted:
        _write(root.tree / "cgroup.subtree_control", wanted)


def _places(pid: int) -> dict[str, str]:
    """Controller → path of the cgroup that a process is in; "" for cgroup2 (/proc/PID/cgroup, cgroups(7))."""
    places: dict[str, str] = {}
    for line in _read(Path(f"/proc/{pid}/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        places.update(dict.fromkeys(controllers.split(","), path))
    return places


def _within(path: str, scope: str) -> str | None:
    """`path` up to and with the scope's own directory, if it leads there."""
    parts = path.split("/")
    return "/".join(parts[: parts.index(scope) + 1]) if scope in parts else None


def _field(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0)


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.ENODEV):  # the last: removed while it was open
            return ""
        raise


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        if error.errno == errno.ENODEV:  # removed while it was open
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
        raise
    finally:
        os.close(fd)

# SPDX-License-Identifier: MIT
"""Decide what a boot needs (cgroups, binds, environment), or say in a sentence why this machine cannot."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from strata.embedded import cgroups, mountpoints, units
from strata.embedded.cgroups import Hierarchy
from strata.embedded.record import Embedded
from strata.errors import InvalidArgument, Unavailable
from strata.paths import Paths

_PREFIX = "strata-embedded-"
# What is made anew inside, so that whatever lies below must be carried in.
_COVERED = (Path("/run"),)
# The first systemd that knows no v1 hierarchies at all (its NEWS).
_NO_LEGACY = 258


class Plan(NamedTuple):
    """Everything `init` needs, and the record to be: its pid and start time are still 0."""

    embedded: Embedded
    log: Path
    argv: tuple[str, ...]
    env: dict[str, str]
    carried: tuple[tuple[str, str], ...]
    layout: tuple[tuple[str, str, str], ...]

    def for_init(self, notify_socket: str) -> dict[str, Any]:
        """The plan as plain JSON values; the environment tells systemd where to say that it is up."""
        return {
            "cgroups": list(map(str, self.embedded.cgroups)),
            "root": str(self.embedded.root) if self.embedded.root else None,
            "carried": self.carried,
            "layout": self.layout,
            "log": str(self.log),
            "argv": self.argv,
            "env": self.env | {"NOTIFY_SOCKET": notify_socket},
        }


def log_of(runtime_dir: Path) -> Path:
    """What systemd says before its journal is up, and why when it never is."""
    return runtime_dir / "embedded.log"


def cgroups_of(paths: Paths) -> tuple[Path, ...]:
    """The cgroups an instance of this runtime directory has, whether they exist or not."""
    return tuple(h.mount_point / _name(paths) for h in _all_hierarchies())


def instances() -> list[Path]:
    """The cgroups of every private systemd on this machine, also of dead ones that nobody has cleaned up after."""
    return [found for h in _all_hierarchies() for found in h.mount_point.glob(f"{_PREFIX}*")]


def directories(*wanted: tuple[Path, int]) -> tuple[Path, ...]:
    """Make directories with their modes, and those above them; what was made, outermost first."""
    if os.geteuid() != 0:
        raise Unavailable("cannot boot a private systemd: this needs root; as another user, use `systemd --user`")
    made: list[Path] = []
    try:
        for path, mode in wanted:
            made += _make(path, mode)
    except OSError as error:
        raise Unavailable(f"cannot boot a private systemd: cannot make {error.filename}: {error.strerror}") from error
    return tuple(made)


def make(paths: Paths, root: Path | None, binds: Sequence[Path], made: tuple[Path, ...]) -> Plan:
    """Look at the machine and the tree, make the cgroups and the log file. Unavailable says what is missing."""
    binary = _binary(root)
    version = _version(root, binary)
    found = _hierarchies(version)
    log = log_of(paths.runtime_dir)
    log.touch(0o600)
    legacy = found[0].kind == "cgroup"
    own = _make_cgroups(found, _name(paths))
    if root is None:
        mountpoints.lend()
    return Plan(
        Embedded(paths.runtime_dir, paths.state_dir, 0, 0, own, root, version, made),
        log,
        _argv(binary, legacy),
        _environment(legacy),
        tuple((str(a), str(b)) for a, b in _carried(paths, root, binds)),
        tuple((_below(h) if legacy else "", h.kind, h.options) for h in found),
    )


def _make(path: Path, mode: int) -> list[Path]:
    made = [parent for parent in (path, *path.parents) if not parent.exists()][::-1]
    for directory in made:
        directory.mkdir()
        directory.chmod(mode if directory == path else 0o755)
    return made


def _name(paths: Paths) -> str:
    # Containers that share the machine's cgroup hierarchies all have a /run/strata: the directory that it lies in is
    # told apart by what is the same from wherever it is seen (inode(7)).
    lies_in = next(parent for parent in paths.runtime_dir.parents if parent.exists()).stat()
    place = f"{lies_in.st_dev} {lies_in.st_ino} ".encode() + os.fsencode(paths.runtime_dir)
    return _PREFIX + hashlib.sha256(place).hexdigest()[:12]


def _binary(root: Path | None) -> str:
    for name in units.BINARIES:
        if (Path(root or "/") / name).exists():
            return f"/{name}"
    where = f"in {root}" if root else "on this machine"
    raise Unavailable(f"cannot boot a private systemd: there is no systemd {where}; install the package `systemd`")


def _version(root: Path | None, binary: str) -> int:
    argv = [binary, "--version"] if root is None else ["chroot", str(root), binary, "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    number = re.match(r"systemd (\d+)", said.stdout)
    if number is None:
        raise Unavailable(
            f"cannot boot a private systemd: {' '.join(argv)} says {(said.stderr or said.stdout).strip()!r}"
        )
    return int(number[1])


def _all_hierarchies() -> list[Hierarchy]:
    return cgroups.hierarchies(Path("/proc/self/mountinfo").read_text())


def _hierarchies(version: int) -> list[Hierarchy]:
    """The v1 hierarchies with cgroup2 beside them, where systemd takes those; cgroup2 alone elsewhere."""
    found = _all_hierarchies()
    ours = [
        h for h in found if h.kind == "cgroup" and (h.options == "name=systemd" or not h.options.startswith("name="))
    ]
    unified = [h for h in found if h.kind == "cgroup2"][:1]
    if version < _NO_LEGACY and any(h.options == "name=systemd" for h in ours):
        return ours + unified
    if not unified:
        raise Unavailable(
            "cannot boot a private systemd: no cgroup hierarchy is mounted for it; "
            "try `mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup`"
        )
    return unified


def _make_cgroups(found: Iterable[Hierarchy], name: str) -> tuple[Path, ...]:
    try:
        return cgroups.make(found, name)
    except OSError as error:
        raise Unavailable(
            f"cannot boot a private systemd: cannot make a cgroup {error.filename}: {error.strerror}; "
            "in a container, run it privileged, with the cgroup file system writable"
        ) from error


def _below(hierarchy: Hierarchy) -> str:
    """Where systemd looks for a hierarchy below /sys/fs/cgroup when there are v1 ones."""
    return "unified" if hierarchy.kind == "cgroup2" else hierarchy.options.removeprefix("name=")


def _argv(binary: str, legacy: bool) -> tuple[str, ...]:
    # systemd as PID 1 of a container reads what else it is told from its own arguments (kernel-command-line(7)).
    arguments = ("--system", f"--unit={units.TARGET}", "--log-target=journal-or-kmsg", "--show-status=no")
    hostname = f"systemd.hostname={socket.gethostname()}"
    return (binary, *arguments, hostname, *(["systemd.unified_cgroup_hierarchy=0"] if legacy else []))


def _environment(legacy: bool) -> dict[str, str]:
    env = {
        "container": "strata",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SYSTEMD_UNIT_PATH": units.UNIT_PATH,
    }
    # From v256 on, systemd refuses v1 hierarchies unless forced (its NEWS); older ones do not look.
    return env | ({"SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1"} if legacy else {})


def _carried(paths: Paths, root: Path | None, binds: Sequence[Path]) -> list[tuple[Path, Path]]:
    """(outside, inside) of every path that must be seen inside, outermost first."""
    same = {paths.runtime_dir, paths.state_dir, *binds}
    same |= {path for path in [paths.config_dir] if path.is_dir()}
    if root is None:
        same |= {resolver for resolver in [Path(os.path.realpath("/etc/resolv.conf"))] if resolver.exists()}
        same = {path for path in same if any(path.is_relative_to(covered) for covered in _COVERED)}
    missing = [str(path) for path in binds if not path.exists()]
    if missing:
        raise InvalidArgument(f"cannot boot a private systemd: cannot bind {', '.join(missing)}: there is no such path")
    carried = [(path, path) for path in sorted(same)]
    if paths.state_dir != mountpoints.STATE:
        carried.append((paths.state_dir, mountpoints.STATE))
    return [*carried, (paths.state_dir / "private", mountpoints.PRIVATE_STATE)]

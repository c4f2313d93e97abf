# SPDX-License-Identifier: MIT
"""The file tree that a private systemd sees, put together in a mount namespace that is its own already.

It is the machine's tree, or an overlay over a given one, with /proc, /sys, /dev and /run made anew. Nothing here can be
seen from outside, and all of it goes when the last process of the namespace does.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from strata.embedded import namespaces as ns
from strata.embedded.units import OWN, SETTINGS, SHIPPED, UNIT_DIRECTORIES

# Never taken over from the machine's /dev: the console and the kernel's log belong to it, the rest are names of /run.
_NOT_OURS = {"console", "kmsg", "log", "initctl", "mqueue"}


def build(
    root: str | None, carried: Sequence[tuple[str, str]], layout: Sequence[tuple[str, str, str]], log: str
) -> None:
    """Mount everything. Raises OSError that names the step.

    `carried`: (path outside, path inside) of what must be there whatever is covered. `layout`: (path below
    /sys/fs/cgroup, kind, options) of each hierarchy; the first is "" where there is only cgroup2. `log`: a file that
    takes what systemd says before its journal is up.
    """
    # What the machine mounts later shows up inside; nothing mounted inside shows up outside.
    ns.mount("", "/", flags=ns.MS_REC | ns.MS_SLAVE)
    lifted = [(ns.lift(source), target, os.path.isdir(source)) for source, target in carried]
    kmsg, devices = ns.lift(log), _devices()
    if root is not None:
        _enter_overlay(root)
    _fresh("/proc", "proc", ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC)
    _sys(layout)
    _dev(devices, kmsg)
    _run()
    for fd, target, is_directory in lifted:
        _mount_point(target, is_directory)
        ns.put(fd, target)
    _machine_id()
    _cover_sysctl()
    # As nspawn does: a service's mount namespace is told of what PID 1's gets later.
    ns.mount("", "/", flags=ns.MS_REC | ns.MS_SHARED)


def _enter_overlay(root: str) -> None:
    lower = ns.lift(root)
    ns.mount("tmpfs", root, "tmpfs", 0, "mode=0755")
    for name in ("lower", "upper", "work"):
        os.mkdir(f"{root}/{name}", 0o755)
    ns.put(lower, f"{root}/lower")
    ns.mount("overlay", root, "overlay", 0, f"lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work")
    ns.pivot_into(root)


def _fresh(target: str, kind: str, flags: int, options: str = "") -> None:
    if os.path.ismount(target):
        ns.detach(target)
    os.makedirs(target, exist_ok=True)
    ns.mount(kind, target, kind, flags, options)


def _sys(layout: Iterable[tuple[str, str, str]]) -> None:
    quiet = ns.MS_NOSUID | ns.MS_NODEV | ns.MS_NOEXEC
    _fresh("/sys", "sysfs", quiet | ns.MS_RDONLY)
    for below, kind, options in layout:
        target = f"/sys/fs/cgroup/{below}".rstrip("/")
        if below and not os.path.ismount("/sys/fs/cgroup"):
            ns.mount("tmpfs", "/sys/fs/cgroup", "tmpfs", quiet, "mode=0755")
        os.makedirs(target, exist_ok=True)
        ns.mount(kind, target, kind, quiet, options)


def _devices() -> list[tuple[str, os.stat_result, str | int]]:
    """The machine's /dev: name, status, and the link's target or the mounts below a directory."""
    found: list[tuple[str, os.stat_result, str | int]] = []
    for entry in os.scandir("/dev"):
        status = entry.stat(follow_symlinks=False)
        if entry.name in _NOT_OURS:
            continue
        if stat.S_ISDIR(status.st_mode):
            found.append((entry.name, status, ns.lift(entry.path)))
        else:
            found.append((entry.name, status, os.readlink(entry.path) if entry.is_symlink() else ""))
    return found


def _dev(devices: Iterable[tuple[str, os.stat_result, str | int]], kmsg: int) -> None:
    # A /dev of its own because journald puts its socket there as /dev/log.
    _fresh("/dev", "tmpfs", ns.MS_NOSUID, "mode=0755")
    for name, status, detail in devices:
        path = f"/dev/{name}"
        if isinstance(detail, int):
            os.mkdir(path, 0o755)
            ns.put(detail, path)
        elif detail:
            os.symlink(detail, path)
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            os.mknod(path, status.st_mode, status.st_rdev)
            os.chmod(path, stat.S_IMODE(status.st_mode))
            os.chown(path, status.st_uid, status.st_gid)
    os.symlink("null", "/dev/console")
    Path("/dev/kmsg").touch()
    ns.put(kmsg, "/dev/kmsg")


def _run() -> None:
    _fresh("/run", "tmpfs", ns.MS_NOSUID | ns.MS_NODEV, "mode=0755")
    for directory in ("/run/systemd/system", "/run/user", "/run/log"):
        os.makedirs(directory, 0o755)
    os.mkdir("/run/lock")
    os.chmod("/run/lock", 0o1777)  # noqa: S103 - everyone's, sticky, as /tmp (file-hierarchy(7))
    for name, text in SETTINGS.items():
        path = Path("/run/systemd", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, text in OWN.items():
        Path("/run/systemd/system", name).write_text(text)
    for name in SHIPPED:
        found = next((d for d in UNIT_DIRECTORIES if os.path.exists(f"{d}/{name}")), None)
        if found:
            os.symlink(f"{found}/{name}", f"/run/systemd/system/{name}")


def _mount_point(target: str, is_directory: bool) -> None:
    if is_directory:
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        Path(target).touch()


def _machine_id() -> None:
    # A second system on one machine must not share its id (machine-id(5)), and systemd would write into an empty one.
    own = Path("/run/strata-machine-id")
    own.write_text(uuid.uuid4().hex + "\n")
    own.chmod(0o444)
    if not os.path.exists("/etc/machine-id"):
        Path("/etc/machine-id").touch(0o444)
    ns.put(ns.lift(str(own)), "/etc/machine-id")


def _cover_sysctl() -> None:
    # See strata-embedded-sysctl.service, which takes it away again.
    ns.put(ns.lift("/proc/sys"), "/proc/sys")
    ns.mount("", "/proc/sys", flags=ns.MS_REMOUNT | ns.MS_BIND | ns.MS_RDONLY)

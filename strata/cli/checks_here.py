# SPDX-License-Identifier: MIT
"""What is checked of Strata's own directories, settings, journal and sockets on this machine."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from strata import config, programs
from strata.cli import call, format, modes
from strata.cli.checks import FAIL, OK, WARN, Finding
from strata.embedded import record
from strata.errors import StrataError
from strata.paths import Paths
from strata.units import manifest

CORE = ("supervisor", "registry", "identity", "fs", "sandbox")
_MIB = 1024 * 1024
SPACE_FAIL, SPACE_WARN = 16 * _MIB, 256 * _MIB
INODES_FAIL = 100


def runtime_dir(paths: Paths) -> Finding:
    """Writable, ours, nobody else's to change, and without what a crash left."""
    name, path = "runtime directory", paths.runtime_dir
    if not path.exists():
        return _creatable(name, path)
    if reason := unsafe(path) or closed(path):
        return Finding(name, FAIL, reason, f"chown {os.geteuid()} {path} && chmod 0755 {path}")
    if reason := exposed(path):
        return Finding(name, FAIL, reason, "name another with STRATA_RUNTIME_DIR")
    if not os.access(path, os.W_OK):
        return Finding(name, FAIL, f"{path} is not writable", f"chown {os.geteuid()} {path}")
    if left := stale(paths):
        return Finding(name, FAIL, f"left by a crash: {', '.join(left)}", "strata-ctl down && strata-ctl up")
    return Finding(name, OK, str(path))


def state_dir(paths: Paths) -> Finding:
    """Keys live there: nobody else may write, and there must be room."""
    name, path = "state directory", paths.state_dir
    if path.exists() and (reason := unsafe(path) or closed(path)):
        return Finding(name, FAIL, reason, f"chown {os.geteuid()} {path} && chmod 0755 {path}")
    if reason := exposed(path):
        return Finding(name, FAIL, reason, "name another with STRATA_STATE_DIR")
    there = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(there, os.W_OK):
        return Finding(name, FAIL, f"{there} is not writable", f"mkdir -p {path} && chown {os.geteuid()} {path}")
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    text = f"{path}: {format.size(free)} free"
    # Some file systems (btrfs) count no inodes and say 0 of 0.
    if free < SPACE_FAIL or (disk.f_files and disk.f_favail < INODES_FAIL):
        return Finding(name, FAIL, f"{text}; keys and revocations cannot be kept", f"du -xh {there} | sort -h | tail")
    if free < SPACE_WARN:
        return Finding(name, WARN, text, f"du -xh {there} | sort -h | tail")
    return Finding(name, OK, text)


def settings(paths: Paths) -> Finding:
    """strata.toml and the users' manifests can be read and mean something."""
    try:
        config.load(paths)
        manifests, errors = manifest.load_directory(paths.services_d)
    except StrataError as error:
        return Finding("settings", FAIL, error.message, f"edit {paths.config_dir / config.FILE_NAME}")
    if errors:
        return Finding("settings", FAIL, "; ".join(e.message for e in errors), f"edit the file in {paths.services_d}")
    return Finding("settings", OK, f"{paths.config_dir}, {len(manifests)} services of your own")


def journal(paths: Paths) -> Finding:
    """The audit log is the journal of the systemd that Strata runs on."""
    manager = modes.current(paths)
    if manager is None:
        return Finding("journal", WARN, "no systemd runs here for Strata yet", "strata-ctl up")
    try:
        code = modes.run(manager, modes.journalctl(manager, "--quiet", "--lines=0"), stdout=subprocess.DEVNULL)
    except StrataError as error:
        return Finding("journal", FAIL, error.message, programs.install("systemd"))
    if code == 0:
        return Finding("journal", OK, f"readable ({manager.mode} mode)")
    return Finding("journal", FAIL, f"journalctl failed with status {code}", "systemctl restart systemd-journald")


def sockets(paths: Paths) -> Finding:
    """Somebody answers on the supervisor's, and on that of each core service which the settings want."""
    core = config.load(paths).core
    wanted = [name for name in CORE if getattr(core, name, True)]
    silent = [name for name in wanted if not call.answers(paths, name)]
    if not silent:
        return Finding("sockets", OK, ", ".join(f"{name}.sock" for name in wanted))
    if len(silent) == len(wanted):
        return Finding("sockets", WARN, "Strata is not running", "strata-ctl up")
    mend = "strata-ctl up" if "supervisor" in silent else f"strata-ctl start {' '.join(silent)}"
    return Finding("sockets", FAIL, f"nothing answers on {', '.join(f'{name}.sock' for name in silent)}", mend)


def unsafe(path: Path) -> str:
    """Why a directory of ours cannot be trusted, "" when it can: it must be ours or root's, and only ours to write."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return f"{path} is not a directory"
    return _changed_by_others(path, found)


def exposed(path: Path) -> str:
    """Why a directory of ours cannot be kept safe where it is, "" when it can."""
    reason = replaceable(path)
    return f"{path} cannot be kept safe: {reason}" if reason else ""


def replaceable(path: Path) -> str:
    """Which directory above `path` lets another user put something else in its place, "" when none does.

    A sticky one (/tmp) does not: in it nobody moves what belongs to another (inode(7)).
    """
    for above in dict.fromkeys((*path.parents, *path.resolve().parents)):
        try:
            found = above.lstat()
        except FileNotFoundError:
            continue  # whoever makes it will own it
        sticky = found.st_mode & stat.S_ISVTX and found.st_uid in (0, os.geteuid())
        if not sticky and (reason := _changed_by_others(above, found)):
            return reason
    return ""


def closed(path: Path) -> str:
    """Why the services could not enter a directory: those of root's Strata run as users of their own (DynamicUser=)."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return "" if os.geteuid() != 0 or mode & stat.S_IXOTH else f"{path} has mode {mode:04o}: no service could enter it"


def _changed_by_others(path: Path, found: os.stat_result) -> str:
    if found.st_uid not in (0, os.geteuid()):
        return f"{path} belongs to uid {found.st_uid}, who could replace what is in it"
    if stat.S_ISLNK(found.st_mode):  # its mode means nothing; where it leads to is looked at as well
        return ""
    if found.st_mode & stat.S_IWOTH:
        return f"{path} is writable by everyone"
    if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()):
        return f"{path} is writable by group {found.st_gid}"
    return ""


def stale(paths: Paths) -> list[str]:
    """What a crash left in the runtime directory: sockets with nobody behind them, the record of a dead systemd."""
    found = [f"{name}.sock" for name in CORE if paths.socket(name).exists() and not call.answers(paths, name)]
    left = record.read(paths)
    if left is not None and not left.alive():
        found.append(record.path_of(paths.runtime_dir).name)
    return found


def _creatable(name: str, path: Path) -> Finding:
    parent = next(parent for parent in path.parents if parent.exists())
    if os.access(parent, os.W_OK):
        return Finding(name, OK, f"{path} will be made by `strata-ctl up`")
    return Finding(name, FAIL, f"{parent} is not writable", f"sudo install -d -o $USER {path}")


HERE = (runtime_dir, state_dir, settings, journal, sockets)

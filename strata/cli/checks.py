# SPDX-License-Identifier: MIT
"""What Strata needs of a machine, one function each: how it is and, if it is not well, how to mend it."""

from __future__ import annotations

import errno
import importlib
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from strata import files, programs
from strata.cli import modes
from strata.embedded import cgroups
from strata.errors import Unavailable

OK, WARN, FAIL = "ok", "warn", "fail"

OLDEST_KERNEL, SANDBOX_KERNEL = (5, 6), (5, 11)
"""openat2 came with the first; overlay mounts in user namespaces, which sandboxes need, with the second."""
OLDEST_SYSTEMD, STEPS_SYSTEMD = 252, 254
OLDEST_PYTHON = (3, 11)
_BUILT = 1_767_225_600  # 2026-01-01: no honest clock is before this program was written


class Finding(NamedTuple):
    """One row: `level` is ok, warn or fail; `mend` is a command, or "" when there is nothing to mend."""

    name: str
    level: str
    text: str
    mend: str = ""


def kernel() -> Finding:
    """New enough for Strata, and for sandboxes."""
    release = platform.release()
    found = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    mend = f"{programs.install('linux')}   # then reboot"
    if found < OLDEST_KERNEL:
        return Finding("kernel", FAIL, f"{release} is older than 5.6", mend)
    if found < SANDBOX_KERNEL:
        return Finding("kernel", WARN, f"{release} is older than 5.11, which sandboxes need", mend)
    return Finding("kernel", OK, release)


def openat2() -> Finding:
    """A seccomp filter (an old container runtime) may refuse what the kernel has."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(files.openat2(root, b".", os.O_PATH, files.BENEATH))
    except OSError as error:
        why = errno.errorcode.get(error.errno or 0, "?")
        mend = "run the container with a seccomp profile that allows openat2 (runc 1.0 or newer)"
        return Finding("openat2", FAIL, f"the kernel refuses it ({why})", mend)
    finally:
        os.close(root)
    return Finding("openat2", OK, "files are opened beneath a token's prefix by the kernel")


def python() -> Finding:
    """3.11 brings tomllib, asyncio.timeout and StrEnum."""
    version = platform.python_version()
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Finding("python", OK, version)
    return Finding("python", FAIL, f"{version} is older than 3.11", programs.install("python"))


def systemd() -> Finding:
    """Present, new enough, and what this version lacks."""
    version = modes.systemd_version()
    number = modes.version_number(version)
    if not number:
        return Finding("systemd", FAIL, "not installed", programs.install("systemd"))
    if number < OLDEST_SYSTEMD:
        return Finding("systemd", FAIL, f"{version} is older than {OLDEST_SYSTEMD}", "upgrade the distribution")
    if number < STEPS_SYSTEMD:
        lacks = "the delay between restarts is constant (growing delays need 254)"
        return Finding(
            "systemd",
            WARN,
            f"{version}: {lacks}",
            "leave it: nothing breaks; or upgrade it   # Debian 12 has a newer one in bookworm-backports",
        )
    return Finding("systemd", OK, version)


def mode() -> Finding:
    """Which of the three places to run this machine offers."""
    try:
        choice = modes.choose(modes.facts())
    except Unavailable as error:
        reason, _, remedy = error.message.partition("; ")
        return Finding("mode", FAIL, reason, remedy)
    return Finding("mode", OK, f"{choice.mode}: {choice.why}")


def cgroup_layout() -> Finding:
    """Unified is best; v1 hierarchies still enforce limits, but cgroup.kill and freeze are v2's."""
    found = cgroups.hierarchies(Path("/proc/self/mountinfo").read_text())
    old = [h for h in found if h.kind == "cgroup"]
    new = [h for h in found if h.kind == "cgroup2"]
    if not found:
        mend = "mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        return Finding("cgroups", FAIL, "no hierarchy is mounted", mend)
    blocked = [str(h.mount_point) for h in found if os.geteuid() == 0 and not os.access(h.mount_point, os.W_OK)]
    if blocked:
        mend = "in a container: run it privileged, with the cgroup file system writable"
        return Finding("cgroups", FAIL, f"read-only: {', '.join(blocked)}", mend)
    if not old:
        return Finding("cgroups", OK, "v2 (unified)")
    shape = "v1 with v2 beside it (hybrid)" if new else "v1 only"
    mend = "add systemd.unified_cgroup_hierarchy=1 to the kernel command line && reboot   # not in a container"
    return Finding("cgroups", WARN, f"{shape}: limits are enforced; an out-of-memory kill reads as a signal", mend)


def user_namespaces() -> Finding:
    """Sandboxes run as nobody outside, which takes a user namespace."""
    unshare = programs.find("unshare")
    if not unshare:
        return Finding("user namespaces", WARN, "cannot try: unshare is missing", programs.install("util-linux"))
    tried = subprocess.run([unshare, "--user", "true"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return Finding("user namespaces", OK, "may be made")
    mend = "sysctl -w user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1"
    if os.path.exists("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"):
        mend = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return Finding("user namespaces", WARN, f"sandboxes need them: {tried.stderr.strip()}", mend)


def bwrap() -> Finding:
    """Bubblewrap is what a sandbox is made with."""
    path = programs.find("bwrap")
    if not path:
        return Finding("bwrap", FAIL, "not installed; sandboxes are made with it", programs.install("bubblewrap"))
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return Finding("bwrap", OK, said or path)


def pystemd() -> Finding:
    """The library that speaks to systemd is built against libsystemd, which may be missing."""
    try:
        importlib.import_module("strata.systemd.bus")
    except (ImportError, OSError) as error:
        return Finding("pystemd", FAIL, str(error), f"{programs.install('libsystemd')}   # then install Strata anew")
    return Finding("pystemd", OK, "speaks to systemd")


def clock() -> Finding:
    """Tokens expire by the clock."""
    now = time.time()
    if now < _BUILT:
        return Finding(
            "clock", FAIL, f"{time.ctime(now)} is in the past; tokens would not expire", "timedatectl set-ntp 1"
        )
    return Finding("clock", OK, time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now)))


MACHINE = (kernel, openat2, python, systemd, mode, cgroup_layout, user_namespaces, bwrap, pystemd, clock)

# SPDX-License-Identifier: MIT
"""The programs of systemd that make an installation take effect, run with what they say about failures kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from strata import programs
from strata.errors import Unavailable
from strata.installation.layout import GROUP
from strata.units import names

LINGERING = Path("/var/lib/systemd/linger")
"""A file for each user whose systemd runs without a session (loginctl(1), enable-linger)."""


def run(*argv: str) -> str:
    """What a program prints. Raises Unavailable with what it says when it fails, or how it is had."""
    path = programs.find(argv[0])
    if not path:
        raise Unavailable(f"cannot run {argv[0]}: it is not installed; {programs.install('systemd')}")
    done = subprocess.run([path, *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise Unavailable(f"cannot {' '.join(argv)}: {said}")
    return done.stdout


def systemctl(user: bool, *arguments: str) -> str:
    """As `run`, for the systemd of the machine or of the user; without one, files are changed by systemctl itself."""
    return run("systemctl", *(["--user"] if user else []), *arguments)


def enablement(user: bool) -> str:
    """`enabled`, `disabled`, `masked` … as systemctl(1) has it for the supervisor's unit; "" where it does not say."""
    argv = [programs.find("systemctl"), *(["--user"] if user else []), "is-enabled", names.SUPERVISOR]
    if not argv[0]:
        return ""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()  # 1 says "disabled"


def make_group(sysusers: Path) -> None:
    """The group that sysusers.d(5) names, unless it is there. Raises Unavailable."""
    run("systemd-sysusers", str(sysusers))


def make_directories(tmpfiles: Path) -> None:
    """The directories that tmpfiles.d(5) names, unless they are there. Raises Unavailable."""
    run("systemd-tmpfiles", "--create", str(tmpfiles))


def remove_group() -> None:
    """Raises Unavailable, as when the group is somebody's first one."""
    run("groupdel", GROUP)


def lingers(user: str) -> bool:
    """Whether what the user's systemd runs goes on after the last logout."""
    return os.path.lexists(LINGERING / user)

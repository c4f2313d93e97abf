# SPDX-License-Identifier: MIT
"""The three places to run: facts about the machine, the choice as a pure function of them, and the manager it means."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from strata import programs
from strata.embedded import boot
from strata.embedded.record import Embedded
from strata.errors import Unavailable
from strata.paths import Paths
from strata.units.context import Mode

SYSTEM_SOCKET = "/run/systemd/private"
MODES: tuple[Mode, ...] = ("system", "user", "embedded")


class Facts(NamedTuple):
    """What decides the mode. `booted`: PID 1 is systemd (sd_booted(3)). `user_manager`: ours answers."""

    root: bool
    booted: bool
    user_manager: bool
    installed: bool


class Choice(NamedTuple):
    """A mode, and why it is the one, as the end of a sentence."""

    mode: Mode
    why: str


class Manager(NamedTuple):
    """The systemd that Strata runs on here: its mode, its D-Bus address, and the private one where it is one."""

    mode: Mode
    address: str
    embedded: Embedded | None = None


_LINGER = "log in through a systemd session, or run `loginctl enable-linger $USER` as root and log in again"


def choose(facts: Facts, wanted: Mode | None = None) -> Choice:
    """The mode for this machine, or `wanted` if it is possible here. Raises Unavailable with what to do."""
    if wanted:
        if reason := impossible(facts, wanted):
            raise Unavailable(f"cannot run in {wanted} mode: {reason}")
        return Choice(wanted, "you asked for it")
    if facts.root and facts.booted:
        return Choice("system", "you are root and PID 1 is systemd")
    if facts.root:
        if reason := impossible(facts, "embedded"):
            raise Unavailable(f"cannot run here: {reason}")
        return Choice("embedded", "you are root and PID 1 is not systemd, so a private one is booted")
    if facts.user_manager:
        return Choice("user", "you are not root and your systemd --user answers")
    raise Unavailable(
        f"cannot run here: you are not root and no systemd --user answers; {_LINGER}, or do the same as root"
    )


def impossible(facts: Facts, mode: Mode) -> str:
    """Why a mode is not possible and what to do; "" when it is."""
    if mode == "user":
        return "" if facts.user_manager else f"no systemd --user answers; {_LINGER}"
    if not facts.root:
        return "it needs root; run it with sudo, or use --mode user"
    if mode == "system":
        return "" if facts.booted else "PID 1 is not systemd; use --mode embedded"
    return "" if facts.installed else f"no systemd is installed; {_install()}"


def _install() -> str:
    return f"install it: {programs.install('systemd')}"


def facts() -> Facts:
    """Look at this machine."""
    return Facts(
        root=os.geteuid() == 0,
        booted=os.path.isdir("/run/systemd/system"),
        user_manager=_listens(_user_socket()),
        installed=any(os.path.exists(path) for path in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")),
    )


def manager_of(mode: Mode, paths: Paths) -> Manager:
    """The manager of a mode. Raises Unavailable when it is embedded and none runs."""
    if mode == "system":
        return Manager(mode, f"unix:path={SYSTEM_SOCKET}")
    if mode == "user":
        return Manager(mode, f"unix:path={_user_socket()}")
    embedded = boot.find(paths)
    if embedded is None:
        raise Unavailable("cannot reach the private systemd: it is not running; start it with `strata-ctl up`")
    return Manager("embedded", embedded.bus_address, embedded)


def current(paths: Paths) -> Manager | None:
    """The manager that Strata of this runtime directory runs on, if any is there to run on."""
    embedded = boot.find(paths)
    if embedded is not None:
        return Manager("embedded", embedded.bus_address, embedded)
    found = facts()
    if found.root and found.booted:
        return manager_of("system", paths)
    if found.user_manager:
        return manager_of("user", paths)
    return None


def required(paths: Paths) -> Manager:
    """As `current`; raises Unavailable where there is none."""
    manager = current(paths)
    if manager is None:
        raise Unavailable("cannot reach a systemd: none runs here for Strata; start it with `strata-ctl up`")
    return manager


def run(manager: Manager, argv: Sequence[str], stdout: int | None = None) -> int:
    """Run a program beside that systemd, its streams ours; its exit code, 127 when it is not installed."""
    if manager.embedded is not None:
        return boot.run(manager.embedded, argv, stdout=stdout)
    try:
        code = subprocess.run(argv, stdout=stdout, check=False).returncode
    except FileNotFoundError as error:
        raise Unavailable(f"cannot run {argv[0]}: it is not installed; {_install()}") from error
    return 128 - code if code < 0 else code


def output_of(manager: Manager, argv: Sequence[str]) -> str:
    """What a program beside that systemd prints; a short text, for it must fit in a pipe."""
    reader, writer = os.pipe()
    with open(reader, encoding="utf-8", errors="replace") as pipe:
        try:
            run(manager, argv, stdout=writer)
        finally:
            os.close(writer)
        return pipe.read()


def journalctl(manager: Manager, *arguments: str) -> list[str]:
    """The journalctl command line for that systemd's journal."""
    return ["journalctl", *(["--user"] if manager.mode == "user" else []), *arguments]


def systemd_version() -> str:
    """Version of the installed systemd, `252.39-1~deb12u2`; "" when there is none."""
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""
    match = re.match(r"systemd \d+ \(([^)]*)\)|systemd (\d+)", said)
    return (match[1] or match[2]) if match else ""


def version_number(version: str) -> int:
    """252 of `252.39-1~deb12u2`; 0 when it starts with no number."""
    match = re.match(r"v?(\d+)", version)
    return int(match[1]) if match else 0


def _user_socket() -> str:
    return f"{os.environ.get('XDG_RUNTIME_DIR') or f'/run/user/{os.geteuid()}'}/systemd/private"


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True

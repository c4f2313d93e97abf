# SPDX-License-Identifier: MIT
"""What is known of a private systemd, and the record of it that lies in the runtime directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from strata import processes, programs
from strata.errors import UNREADABLE, Internal
from strata.paths import Paths


class Embedded(NamedTuple):
    """A private systemd as the machine sees it.

    `pid` and `start_time` (clock ticks since boot, /proc/PID/stat) name its PID 1 even after the number is used again;
    `root` is None where it runs in the machine's own tree; `made` are the directories and files that boot had to
    make, oldest first, and that stop takes away when nothing is in them.
    """

    runtime_dir: Path
    state_dir: Path
    pid: int
    start_time: int
    cgroups: tuple[Path, ...]
    root: Path | None
    version: int
    made: tuple[Path, ...] = ()

    @property
    def bus_address(self) -> str:
        """systemd's own socket, for peer-to-peer D-Bus as root from the machine's namespaces.

        systemd refuses whoever its PID namespace cannot see, because SO_PEERCRED has no pid for them (unix(7)). So a
        bridge of systemd's own speaks from inside, started by the D-Bus library (D-Bus specification, "unixexec").

        The library ends what it started with SIGTERM. timeout(1), with no time limit, ends its own child with it and
        waits for it; nsenter would leave an orphan, and where the machine's PID 1 collects none (a container without
        an init) the private PID 1 could never end: it waits for all of its namespace (pid_namespaces(7)).
        """
        bridge = ("systemd-stdio-bridge", "--bus-path=unix:path=/run/systemd/private")
        words = (f"--target={self.pid}", "--all", "--root", "--no-fork", "--", "timeout", "--foreground", "0", *bridge)
        arguments = ",".join(f"argv{number}={_escaped(word)}" for number, word in enumerate(words, 1))
        return f"unixexec:path={_escaped(programs.find('nsenter') or 'nsenter')},{arguments}"

    def alive(self) -> bool:
        """Whether the process is there, is the one that was booted, and is PID 1 of a namespace of its own."""
        return start_time(self.pid) == self.start_time and _is_pid_one(self.pid)


def path_of(runtime_dir: Path) -> Path:
    """Where the record lies."""
    return runtime_dir / "embedded.json"


def write(embedded: Embedded) -> None:
    """Put the record in place whole (rename(2))."""
    path = path_of(embedded.runtime_dir)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(embedded._asdict(), default=str) + "\n")
    draft.rename(path)


def read(paths: Paths) -> Embedded | None:
    """The record of this runtime directory, whether its systemd lives or not; None where there is none."""
    path = path_of(paths.runtime_dir)
    try:
        return _parse(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (*UNREADABLE, KeyError, TypeError, OverflowError) as error:
        raise Internal(
            f"cannot read {path}: {error!r}; remove it and run `strata-ctl down`, which goes by the cgroups then"
        ) from error


def _parse(raw: dict[str, Any]) -> Embedded:
    return Embedded(
        runtime_dir=Path(raw["runtime_dir"]),
        state_dir=Path(raw["state_dir"]),
        pid=int(raw["pid"]),
        start_time=int(raw["start_time"]),
        cgroups=tuple(map(Path, raw["cgroups"])),
        root=Path(raw["root"]) if raw["root"] else None,
        version=int(raw["version"]),
        made=tuple(map(Path, raw["made"])),
    )


def start_time(pid: int) -> int | None:
    """When a living process started, in clock ticks since boot; None for one that is gone or a zombie."""
    found = processes.stat(pid)
    return None if found is None or found.dead else found.start


def is_zombie(pid: int) -> bool:
    """Whether the process is dead and its parent has not asked about it yet."""
    found = processes.stat(pid)
    return found is not None and found.dead


def _escaped(word: str) -> str:
    """A value in a D-Bus address, where some characters have a meaning of their own."""
    return "".join(ch if ch.isalnum() or ch in "-_/." else f"%{ord(ch):02x}" for ch in word)


def _is_pid_one(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
    return len(numbers) > 1 and numbers[-1] == "1" and os.path.exists(f"/proc/{pid}/root")

# SPDX-License-Identifier: MIT
"""The Strata under load: a private systemd, and Strata brought up on it by `strata-ctl` as its users do it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "live")]

import machine  # noqa: E402
import visitor  # noqa: E402
import wire  # noqa: E402
from node import Node  # noqa: E402

# A machine that does much else besides is slow, and that is no failure of what is slow on it.
visitor.SECONDS = wire._SECONDS = 120.0

ENTER = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root")


@dataclass(frozen=True)
class Place:
    """`node` is Strata; `files` is a directory outside its own that its fs service may work in."""

    node: Node
    files: Path

    @property
    def pid(self) -> int:
        """The private PID 1, as the machine counts."""
        assert self.node.manager.embedded
        return self.node.manager.embedded.pid

    @property
    def cgroups(self) -> tuple[Path, ...]:
        assert self.node.manager.embedded
        return self.node.manager.embedded.cgroups

    @property
    def settings(self) -> Path:
        return self.node.manager.paths.config_dir / "strata.toml"

    def beside(self, *argv: str) -> str:
        """What a program prints that runs beside that systemd.

        By nsenter(1) and not by Manager.run: that forks, and this process has threads.
        """
        command = ["nsenter", f"--target={self.pid}", *ENTER, "--", *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
        if done.returncode:
            raise RuntimeError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def ctl(self, *arguments: str) -> str:
        """What `strata-ctl` prints. Raises RuntimeError when it fails."""
        done = self.node.ctl(*arguments)
        if done.returncode:
            raise RuntimeError(
                f"strata-ctl {' '.join(arguments)}: exit code {done.returncode}: {done.stderr} {done.stdout}"
            )
        return done.stdout


@contextlib.contextmanager
def running() -> Iterator[Place]:
    """Until the context ends; then nothing of it is left, or it raises."""
    with (
        tempfile.TemporaryDirectory(
            prefix="strata-soak-", dir="/var/tmp"
        ) as files,  # not /tmp: PrivateTmp= of services
        machine.private() as manager,
    ):
        Path(files).chmod(0o755)
        place = Place(Node(manager), Path(files))
        with place.settings.open("a") as settings:
            settings.write("\n[sandbox]\nmax_sessions = 100\n")
        place.ctl("up")
        yield place
        place.ctl("down")

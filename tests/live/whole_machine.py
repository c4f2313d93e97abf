# SPDX-License-Identifier: MIT
"""A private systemd that reads units from an /etc of its own: a machine on which Strata can be installed for real.

What is installed there goes with it. /run and /var/lib/strata are private in any case (strata.embedded).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import unittest.mock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import machine
import pytest
from machine import Manager
from node import CTL

from strata.embedded import units

UNITS = "/etc/systemd/system"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# On a machine's own tree: a layer over /etc and /usr/local that lies in the private /run.
_LAYERS = """
set -eu
for place in etc usr/local; do
    top=/run/layers/$place
    mkdir -p "$top/upper" "$top/work"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=$top/upper,workdir=$top/work" "/$place"
done
mount --bind /run/strata-machine-id /etc/machine-id
"""

# What installing could change, without what comes and goes by itself and the inside of what services keep.
_TREE = ("/etc", "/usr/local", "/usr/lib", "/usr/share", "/var/lib", "/run")
_WITHOUT = (
    *(f"/run/{name}" for name in ("systemd", "log", "layers", "user", "private", "strata-test-*")),
    "/var/lib/strata/*/*",
    "/var/lib/private/*/*",
)


@dataclass(frozen=True)
class Machine:
    """A machine in whose file tree may be written, and the systemd that runs it."""

    manager: Manager

    def run(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program on it, as root."""
        return self.manager.run(argv, env={"PATH": PATH} | environment)

    def ok(self, *argv: str, **environment: str) -> str:
        """As `run`; what it prints. It must succeed."""
        done = self.run(*argv, **environment)
        assert done.returncode == 0, done.stdout + done.stderr + self.manager.journal_tail()
        return done.stdout

    def ctl(self, *argv: str, **environment: str) -> str:
        """`strata-ctl`, which must succeed; what it prints."""
        return self.ok(str(CTL), *argv, **environment)

    def refused(self, *argv: str) -> str:
        """`strata-ctl`, which must not succeed; the sentence it says."""
        done = self.run(str(CTL), *argv)
        assert done.returncode == 1, done.stdout
        return done.stderr

    def pids(self) -> dict[str, int]:
        """The main process of each service; all must be Healthy."""
        found = json.loads(self.ctl("status", "--json"))
        return {row["name"]: row["pid"] for row in found["services"]}

    def checks(self) -> dict[str, dict[str, Any]]:
        """The rows of `doctor`, by name; some other one may have failed."""
        said = self.run(str(CTL), "doctor", "--json").stdout
        return {row["name"]: row for row in json.loads(said)["checks"]}

    def write(self, path: str, text: str) -> None:
        """Write a file there."""
        done = self.manager.run(["sh", "-c", 'mkdir -p "${1%/*}" && cat > "$1"', "write", path], input=text)
        assert done.returncode == 0, done.stderr

    def tree(self) -> set[str]:
        """Every file and directory that an installation could concern: path, mode, owner, where a link leads."""
        without = [word for path in _WITHOUT for word in ("-path", path, "-prune", "-o")]
        return set(self.ok("find", *_TREE, *without, "-printf", "%p %M %U %G %l\\n").splitlines())

    def paths(self) -> set[str]:
        """As `tree`, the paths alone."""
        return {line.split(" ")[0] for line in self.tree()}


@contextlib.contextmanager
def whole(root: Path | None = None, binds: Sequence[Path] = ()) -> Iterator[Machine]:
    """The machine, for as long as the context lasts; its settings name a port that is free."""
    with contextlib.ExitStack() as stack:
        with unittest.mock.patch.object(units, "UNIT_PATH", f"{units.UNIT_PATH}:{UNITS}"):  # while it boots
            manager = stack.enter_context(machine.private(root, binds))
        here = Machine(manager)
        if root is None:
            here.ok("sh", "-c", _LAYERS)
        here.write("/etc/strata/strata.toml", f'[api]\naddress = "{manager.api}"\n')
        yield here


@contextlib.contextmanager
def own_tree() -> Iterator[Machine]:
    """As `whole`, of this machine's own tree; skips where that cannot be."""
    if os.geteuid() != 0 or machine.is_systemd():
        pytest.skip("needs root, and a PID 1 that is not systemd: there the VM ring installs")
    with whole() as found:
        yield found

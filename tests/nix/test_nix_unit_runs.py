# SPDX-License-Identifier: MIT
"""The unit that the NixOS module makes, started by a real systemd; only its programs are this checkout's."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import machine
import pytest
from evaluation import Nix

UNIT = "strata-supervisor.service"
BIN = Path(sys.executable).parent

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a real systemd system manager"),
]


@pytest.fixture(scope="module")
def text(nix: Nix) -> str:
    """The unit's text, with programs that are there."""
    made: str = nix.config(
        "{ services.strata.enable = true; }", 'config.systemd.units."strata-supervisor.service".text'
    )
    package = re.search(r"^ExecStart=(\S+)/bin/strata-python ", made, re.MULTILINE)
    assert package
    made = re.sub(r'^Environment="STRATA_PATH=.*\n', "", made, flags=re.MULTILINE)
    return made.replace(f"{package[1]}/bin/strata-python", sys.executable).replace(f"{package[1]}/bin", str(BIN))


def test_112_the_unit_brings_strata_up_reloads_and_takes_it_down(text: str) -> None:
    """Its /run is a private one, so that its /run/strata is nobody else's."""
    with machine.private() as private:
        mine = text.replace("[Service]\n", f"[Service]\nEnvironment=STRATA_SERVER_ADDR={private.api}\n", 1)
        private.run(["sh", "-c", f"cat > /run/systemd/system/{UNIT}"], input=mine)
        try:
            systemctl(private, "daemon-reload")
            systemctl(private, "start", UNIT)
            found = until_healthy(private)
            assert found["mode"] == "system"
            assert private.run(["stat", "-c", "%a", "/run/strata"]).stdout == "755\n"
            systemctl(private, "reload", UNIT)
        finally:
            journal = private.journal_tail()
            systemctl(private, "stop", UNIT)
        left = private.run(["ls", "-A", "/run/strata"]).stdout.split()
        assert set(left) <= {"supervisor.lock"}, "a socket outlived the unit"
        left = private.run(["systemctl", "list-units", "--no-legend", "strata-fs*", "strata-identity*"]).stdout
        assert not left, journal


def systemctl(private: machine.Manager, *arguments: str) -> None:
    said = private.run(["systemctl", *arguments])
    assert said.returncode == 0, said.stderr + private.journal_tail()


def until_healthy(private: machine.Manager, seconds: float = 30.0) -> dict[str, Any]:
    """What `strata-ctl status` says once all is Healthy."""
    deadline = time.monotonic() + seconds
    while True:
        said = private.run([str(BIN / "strata-ctl"), "status", "--json"], env={"STRATA_RUNTIME_DIR": "/run/strata"})
        if said.returncode == 0:
            found: dict[str, Any] = json.loads(said.stdout)
            return found
        assert time.monotonic() < deadline, said.stdout + said.stderr + private.journal_tail()
        time.sleep(0.05)

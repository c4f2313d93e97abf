# SPDX-License-Identifier: MIT
"""The README's walk, typed as it stands there: it prints what the README shows, but for ids, times and sizes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import machine
import pytest
import walk
from node import CTL

from strata import config

README = Path(__file__).resolve().parents[2] / "README.md"


def transcript() -> walk.Steps:
    """Commands and what they print."""
    found = re.search(r"<!-- transcript -->\n```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return walk.steps(found[1])


@pytest.mark.skipif(
    machine.is_systemd() or os.geteuid() != 0, reason="the README's walk is one in embedded mode, as root"
)
def test_the_readmes_walk_prints_what_the_readme_shows(tmp_path: Path) -> None:
    steps = transcript()
    with machine.directories() as paths:
        env = {
            "PATH": f"{CTL.parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LC_ALL": "C.UTF-8",
        } | paths.environment()
        places = {
            "/tmp/readme": str(tmp_path / "walk"),
            "/var/lib/strata": str(paths.state_dir),
            "127.0.0.1:2280": config.load(paths, {}).api.address,
        }
        try:
            printed = walk.typed(steps, places, env)
        finally:
            subprocess.run([CTL, "down"], env=env, capture_output=True, check=False)
    walk.check(steps, printed)

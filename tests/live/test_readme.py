# SPDX-License-Identifier: MIT
"""The README's walk, typed as it stands there: it prints what the README shows, but for ids, times and sizes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import machine
import pytest
from node import CTL

README = Path(__file__).resolve().parents[2] / "README.md"
MARK = "@@@"
REST = "…"
"""A line of the transcript that stands for all that follows."""


def transcript() -> list[tuple[str, list[str]]]:
    """Commands and what they print."""
    found = re.search(r"<!-- transcript -->\n```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    steps: list[tuple[str, list[str]]] = []
    for line in found[1].splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def typed(steps: list[tuple[str, list[str]]], places: dict[str, Path], env: dict[str, str]) -> list[list[str]]:
    """What the commands print in one shell, one list of lines each; `places`: where the README's directories lie."""
    lines = ["exec 2>&1"]
    for command, _ in steps:
        # What `make up` and `make down` run once everything is installed.
        lines += [f"echo '{MARK}'", re.sub(r"^make (up|down)$", r"strata-ctl \1", command)]
    script = "\n".join(lines)
    for shown, real in places.items():
        script = script.replace(shown, str(real))
    said = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False, cwd="/").stdout
    for shown, real in places.items():
        said = said.replace(str(real), shown)
    return [part.splitlines() for part in said.split(f"{MARK}\n")[1:]]


def plain(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"systemd \d\S*", "systemd VERSION", line)
    line = re.sub(r"[0-9a-f]{16,}", "ID", line)
    line = re.sub(r"\(python[0-9.]*\)", "(python)", line)
    line = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", "DAY", line)
    line = re.sub(r"\d+(min|ms|s)? ?(\d+(ms|s))?(?= ago)", "N", line)
    line = re.sub(r"\b\d+([.:-]\d+)*[KMGs]?\b", "N", line)
    return re.sub(r" +", " ", line).strip()


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
        try:
            printed = typed(steps, {"/tmp/readme": tmp_path / "walk", "/var/lib/strata": paths.state_dir}, env)
        finally:
            subprocess.run([CTL, "down"], env=env, capture_output=True, check=False)
    assert len(printed) == len(steps)
    for (command, shown), got in zip(steps, printed, strict=True):
        wanted = shown[: shown.index(REST)] if REST in shown else shown
        seen = got[: len(wanted)] if REST in shown else got
        assert [plain(line) for line in seen] == [plain(line) for line in wanted], command

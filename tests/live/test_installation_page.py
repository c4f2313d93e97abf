# SPDX-License-Identifier: MIT
"""docs/installation.md: its commands are typed, in one shell, on a machine of their own, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import walk
import whole_machine
from node import CTL

PAGE = (Path(__file__).resolve().parents[2] / "docs/installation.md").read_text(encoding="utf-8")


@pytest.mark.timeout(120)
def test_the_commands_of_the_page_print_what_it_says() -> None:
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    steps = [step for block in blocks for step in walk.steps(block)]
    with whole_machine.own_tree() as here:
        env = {"PATH": f"{CTL.parent}:{whole_machine.PATH}", "LC_ALL": "C.UTF-8"}
        said = here.manager.run(["bash", "-c", walk.written(steps)], env=env)
    walk.check(steps, walk.spoken(said.stdout))

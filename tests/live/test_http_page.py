# SPDX-License-Identifier: MIT
"""docs/http.md: every example is typed in one shell before a real Strata, and prints what the page says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import walk
from devices import needs_loop
from node import CTL, Node

from strata.client import Client

PAGE = Path(__file__).resolve().parents[2] / "docs/http.md"
ADDRESS = "127.0.0.1:2280"


@pytest.fixture
def alice(strata: Node) -> Iterator[Node]:
    """The page's owner has no session before and after."""
    yield strata
    with Client(strata.manager.paths.socket("sandbox")) as client:
        left = client.sessions("alice")
        for found in left:
            client.session("alice", found.session).close()
    assert not left


@needs_loop
def test_the_examples_of_the_page_print_what_it_says(alice: Node, tmp_path: Path) -> None:
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    steps = [step for block in blocks for step in walk.steps(block)]
    env = alice.environment | {"PATH": f"{CTL.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    walk.check(steps, walk.typed(steps, {ADDRESS: alice.address}, env, tmp_path))

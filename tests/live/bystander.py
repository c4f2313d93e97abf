# SPDX-License-Identifier: MIT
"""Another owner's session, which is to be answered whatever a test does to what serves it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from cell import Cell, opened
from node import Node

PROMPT_SECONDS = 2.0


@pytest.fixture(scope="module")
def bystander(strata: Node) -> Iterator[Cell]:
    """Warm."""
    with opened(strata, "bystander", "b") as found:
        found.call("exec", command="true")
        yield found


def assert_prompt(cell: Cell) -> None:
    """It answers everything within a bound."""
    for method, more in (("describe", {}), ("exec", {"command": "echo ok"}), ("run", {"argv": ["/bin/echo", "ok"]})):
        before = time.monotonic()
        said = cell.call(method, **more)
        assert said.get("output", "ok").strip() == "ok"
        assert time.monotonic() - before < PROMPT_SECONDS, method

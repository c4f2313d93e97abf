# SPDX-License-Identifier: MIT
"""A Strata of the audit's own, on a private systemd: what is tried here may stall or kill it, and no other ring's."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import machine
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "live"))
from bystander import assert_prompt
from bystander import bystander as bystander  # a fixture
from cell import Cell, opened
from node import Node, running


@pytest.fixture(scope="session")
def strata() -> Iterator[Node]:
    """Strata, Healthy."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a real systemd system manager")
    with machine.private() as manager, running(manager) as node:
        yield node


@pytest.fixture(scope="session")
def cell(strata: Node) -> Iterator[Cell]:
    """A session as anybody gets it, from which is tried to break out."""
    with opened(strata, "audit", "cell") as found:
        yield found


@pytest.fixture
def undisturbed(strata: Node, bystander: Cell) -> Iterator[Node]:
    """Strata for one attack. Afterwards the same processes serve all services."""
    before = {name: row["pid"] for name, row in strata.services().items()}
    yield strata
    assert {name: row["pid"] for name, row in strata.services().items()} == before
    assert_prompt(bystander)

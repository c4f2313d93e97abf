# SPDX-License-Identifier: MIT
"""How exposed Strata's units are, measured anew by every systemd that is here: it never gets worse in silence."""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "docs"))
import exposure

WRITTEN = json.loads(exposure.FILE.read_text(encoding="utf-8"))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look at units in another root tree")
_OTHER_WEIGHTS = 1.0  # of systemds that nobody has looked at


@functools.cache
def measured(tree: Path) -> tuple[int, exposure.Found]:
    if not (tree / "usr/bin/systemd-analyze").exists():
        pytest.skip(f"needs a Debian 13 tree: `scripts/modern-tree` makes one ({tree.name})")
    return exposure.measured(tree)


@needs_root
@pytest.mark.parametrize("tree", exposure.TREES, ids=["here", "debian13"])
def test_no_unit_is_more_exposed_than_its_ceiling(tree: Path) -> None:
    version, found = measured(tree)
    ceiling = exposure.reasons()["ceiling"]
    more = 0.0 if str(version) in WRITTEN else _OTHER_WEIGHTS
    assert found.keys() == ceiling.keys()
    assert {unit: row["exposure"] for unit, row in found.items() if row["exposure"] > ceiling[unit] + more} == {}


@needs_root
@pytest.mark.parametrize("tree", exposure.TREES, ids=["here", "debian13"])
def test_what_is_open_has_a_reason(tree: Path) -> None:
    _, found = measured(tree)
    reasons = exposure.reasons()["open"]
    for unit, row in found.items():
        for thing in row["open"]:
            assert any(exposure.applies(reason, unit, thing) for reason in reasons), f"{unit}: {thing}"


@needs_root
@pytest.mark.parametrize("tree", exposure.TREES, ids=["here", "debian13"])
def test_the_written_figures_are_those_that_are_measured(tree: Path) -> None:
    """`python docs/exposure.py` writes them anew."""
    version, found = measured(tree)
    if str(version) not in WRITTEN:
        pytest.skip(f"nobody has written down what systemd {version} finds")
    assert WRITTEN[str(version)] == found


def test_every_reason_is_for_something() -> None:
    everything = {(unit, thing) for found in WRITTEN.values() for unit, row in found.items() for thing in row["open"]}
    for reason in exposure.reasons()["open"]:
        assert any(exposure.applies(reason, unit, thing) for unit, thing in everything), reason

# SPDX-License-Identifier: MIT
"""Everything is broken on purpose, and afterwards nothing is lost and nothing is left (README.md)."""

from __future__ import annotations

import os

import pytest
from wandering import FAULTS, Violation, walk

SEEDS = (int(os.environ["STRATA_CHAOS_SEED"]),) if "STRATA_CHAOS_SEED" in os.environ else (1,)
STEPS = int(os.environ.get("STRATA_CHAOS_STEPS", "20"))
SECONDS = 75.0 if "STRATA_CHAOS_STEPS" not in os.environ else float("inf")
"""A loaded machine takes fewer steps; a walk that is repeated takes all."""


@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_broken_nothing_that_was_acknowledged_is_lost_and_nothing_is_left(seed: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a systemd of its own")
    try:
        found = walk(seed, STEPS, seconds=SECONDS)
    except Violation as violation:
        pytest.fail(str(violation), pytrace=False)
    assert found.calls > 0
    assert found.done.total() > 0


def test_every_fault_has_a_name_of_its_own() -> None:
    """A report names the fault; `--only` finds it."""
    names = [fault.name for fault in FAULTS]
    assert len(names) == len({*names})
    assert all(fault.weight > 0 for fault in FAULTS)

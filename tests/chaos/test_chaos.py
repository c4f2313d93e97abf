# SPDX-License-Identifier: MIT
"""Everything is broken on purpose, and afterwards nothing is lost and nothing is left (README.md)."""

from __future__ import annotations

import os

import planted
import pytest
from acknowledged import Ledger
from node import until
from wandering import FAULTS, Violation, Walk, walk
from world import world

SEEDS = (int(os.environ["STRATA_CHAOS_SEED"]),) if "STRATA_CHAOS_SEED" in os.environ else (1,)
STEPS = int(os.environ.get("STRATA_CHAOS_STEPS", "20"))
SECONDS = 40.0 if "STRATA_CHAOS_STEPS" not in os.environ else float("inf")
"""A loaded machine takes fewer steps; a walk that is repeated takes all."""


@pytest.mark.timeout(300 + STEPS * 120)
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


@pytest.mark.timeout(300)
def test_what_is_planted_is_found() -> None:
    """An invariant that nothing can violate proves nothing."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a systemd of its own")
    with world() as over:
        walk = Walk(over, 0)
        walk.begin()
        for plant in planted.PLANTS:
            with plant.of(over):
                found = walk.violated()
            assert [one for one in found if one.startswith(plant.invariant)], (plant, found)
        until(lambda: not walk.violated(), "nothing is left of what was planted", 20.0)


def test_a_thing_that_is_not_as_somebody_was_told_is_told_with_its_history() -> None:
    ledger = Ledger()
    with ledger.doing("file", ("f",), "one"):
        pass
    assert not ledger.judge("file", {("f",): "one"})
    [wrong] = ledger.judge("file", {("f",): "two"})
    assert "file ('f',) is 'two', may be ['one']" in wrong
    assert "told: one" in wrong
    assert ledger.judge("file", {})


def test_a_call_without_an_answer_leaves_what_was_and_what_was_asked_for() -> None:
    ledger = Ledger()
    ledger.done("file", ("f",), "one")
    with pytest.raises(OSError, match="hung up"), ledger.doing("file", ("f",), "two"):
        raise OSError("hung up")
    assert not ledger.judge("file", {("f",): "one"})
    assert not ledger.judge("file", {("f",): "two"})
    assert ledger.judge("file", {})


def test_a_loss_that_the_documents_announce_is_none_and_any_other_is() -> None:
    ledger = Ledger()
    for name in ("a", "b"):
        ledger.done("session", ("ann", name), "open")
    ledger.excuse("session", None, "its scope was stopped", lambda key: key[1] == "a")
    [wrong] = ledger.judge("session", {})
    assert "('ann', 'b')" in wrong


def test_every_fault_has_a_name_of_its_own() -> None:
    """A report names the fault; `--only` finds it."""
    names = [fault.name for fault in FAULTS]
    assert len(names) == len({*names})
    assert all(fault.weight > 0 for fault in FAULTS)

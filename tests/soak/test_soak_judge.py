# SPDX-License-Identifier: MIT
"""The judge of the soak: what it calls flat, and that it can say no."""

from __future__ import annotations

import math
import random

import pytest
from soak_judge import Allowance, Point, judge

SPAN = (60.0, 300.0)
FLAT = Allowance(noise=5.0)


def _operations(at: float) -> float:
    return 10.0 * at


def _growth(values: list[Point], allowance: Allowance = FLAT, settling: float = 20.0) -> tuple[bool, float | None]:
    found = judge("x", values, allowance, SPAN, settling, _operations)
    return found.flat, found.growth


def _series(value, life: str = "", start: float = 0.0, end: float = 300.0) -> list[Point]:  # type: ignore[no-untyped-def]
    return [Point(start + 2 * number, value(start + 2 * number), life) for number in range(int((end - start) / 2) + 1)]


def test_a_steady_leak_is_growth() -> None:
    flat, growth = _growth(_series(lambda at: 100 + at / 10))
    assert not flat
    assert growth == pytest.approx(24.0, rel=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_is_seen_through_the_noise_of_the_load(seed: int) -> None:
    """The load makes it go up and down by 20 all the time; the leak is 60 by the end."""
    wobble = random.Random(seed)
    assert not _growth(_series(lambda at: 100 + at / 4 + wobble.uniform(-20, 20)))[0]


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_leak(seed: int) -> None:
    wobble = random.Random(seed)
    assert _growth(_series(lambda at: 100 + wobble.uniform(-20, 20)), Allowance(noise=15.0))[0]


def test_what_goes_up_and_down_is_flat() -> None:
    assert _growth(_series(lambda at: 100 + 50 * math.sin(at / 7)))[0]


def test_what_fills_up_and_then_stays_is_flat() -> None:
    assert _growth(_series(lambda at: min(at, 150.0)))[0]


def test_one_peak_is_no_trend() -> None:
    assert _growth(_series(lambda at: 900.0 if 100 < at < 130 else 100.0))[0]


def test_a_restart_hides_no_leak() -> None:
    """Each process begins anew with little and grows as the one before did."""
    lives = [
        _series(lambda at, born=born: 100 + (at - born) / 5, f"pid {born}", born, born + 90) for born in (0, 90, 180)
    ]
    assert not _growth([point for life in lives for point in life])[0]


def test_a_restart_is_no_growth() -> None:
    """The second process is larger from the start, and stays so."""
    assert _growth(_series(lambda at: 100, "old", 0, 148) + _series(lambda at: 130, "new", 150))[0]


def test_the_first_seconds_of_a_process_do_not_count() -> None:
    assert _growth(_series(lambda at: 1.0, "old", 0, 148) + _series(lambda at: min(at - 150, 20.0), "new", 150))[0]


def test_what_was_never_there_long_enough_is_not_called_flat() -> None:
    assert _growth(_series(lambda at: 1.0, start=290.0)) == (False, None)


def test_an_allowance_counts_hours_and_operations() -> None:
    assert Allowance(1.0, per_hour=10.0, per_thousand=2.0).over(1800.0, 500.0) == 1.0 + 5.0 + 1.0

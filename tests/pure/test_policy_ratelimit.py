# SPDX-License-Identifier: MIT
"""Rate limits: what is read as one, and how calls are admitted, by a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.errors import InvalidArgument, ResourceExhausted
from strata.policy.capability import Claims, Constraints
from strata.policy.ratelimit import Buckets, parse


class Clock:
    """Monotonic seconds that a test moves."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


def limited(rate: str, jti: str = "cap", shared: tuple[tuple[str, str], ...] = ()) -> Claims:
    return Claims(jti, 0, 1, "fs", ("open",), constraints=Constraints(rate_limit=rate, shared_limits=shared))


def admitted(buckets: Buckets, claims: Claims, calls: int) -> int:
    count = 0
    for _ in range(calls):
        try:
            buckets.charge(claims)
        except ResourceExhausted:
            continue
        count += 1
    return count


@pytest.mark.parametrize(
    ("text", "rate"),
    [("50rps", 50), (" 5rps", 5), ("5rps ", 5), ("0.5rps", 0.5), ("1e1rps", 10), ("+3rps", 3), (".5rps", 0.5),
     ("5.rps", 5)],
)  # fmt: skip
def test_a_positive_decimal_before_rps_is_a_rate(text: str, rate: float) -> None:
    assert parse(text) == rate


@pytest.mark.parametrize(
    "text",
    ["", "rps", "50", "50rpm", "NaNrps", "Infrps", "+Infrps", "0rps", "0.0rps", "-5rps", "5 rps", "5RPS", "0x10rps",
     "1_0rps", "1e999rps", "1e-999rps", "\t5rps", "5rps\n", "５rps", "٣rps", ".rps", "++1rps", "1" * 40 + "rps"],
)  # fmt: skip
def test_039_050_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r'expected format: "50rps"'):
        parse(text)


@given(st.text(max_size=20) | st.text(st.sampled_from("0123456789.+-eE_nirps "), max_size=12))
def test_reading_a_rate_never_crashes_and_gives_a_usable_one(text: str) -> None:
    try:
        rate = parse(text)
    except InvalidArgument:
        return
    assert 0 < rate < float("inf")


def test_048_a_rate_of_two_admits_two_at_once_and_two_a_second_later() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    assert admitted(buckets, limited("2rps"), 3) == 2
    clock.now += 1
    assert admitted(buckets, limited("2rps"), 3) == 2


def test_049_capabilities_do_not_share_a_bucket() -> None:
    buckets = Buckets(clock=Clock())
    assert admitted(buckets, limited("1rps", "a"), 2) == 1
    assert admitted(buckets, limited("1rps", "b"), 2) == 1


def test_051_half_a_call_a_second_admits_the_first_and_one_every_two_seconds() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    assert admitted(buckets, limited("0.5rps"), 2) == 1
    clock.now += 1.9
    assert admitted(buckets, limited("0.5rps"), 1) == 0
    clock.now += 0.2
    assert admitted(buckets, limited("0.5rps"), 2) == 1


def test_a_refusal_says_how_long_to_wait() -> None:
    buckets = Buckets(clock=Clock())
    admitted(buckets, limited("4rps"), 4)
    with pytest.raises(ResourceExhausted) as caught:
        buckets.charge(limited("4rps"))
    assert caught.value.details == {"retry_after_seconds": 0.25}


@given(st.lists(st.floats(0, 5), max_size=60), st.sampled_from(["0.5rps", "2rps", "7.5rps"]))
def test_no_pace_of_calls_gets_more_than_the_burst_and_the_rate(pauses: list[float], rate: str) -> None:
    clock = Clock()
    buckets, began, count = Buckets(clock=clock), clock.now, 0
    for pause in pauses:
        clock.now += pause
        count += admitted(buckets, limited(rate), 3)
    assert count <= max(1, parse(rate)) + parse(rate) * (clock.now - began) + 1e-6


def test_children_draw_on_their_ancestors_allowance() -> None:
    buckets = Buckets(clock=Clock())
    children = [limited("5rps", f"child{number}", (("mother", "5rps"),)) for number in range(10)]
    assert sum(admitted(buckets, child, 5) for child in children) == 5


def test_a_refused_call_charges_nobody() -> None:
    buckets = Buckets(clock=Clock())
    child = limited("1rps", "child", (("mother", "3rps"),))
    assert admitted(buckets, child, 10) == 1
    assert admitted(buckets, limited("3rps", "mother"), 10) == 2


def test_unlimited_capabilities_have_no_bucket() -> None:
    buckets = Buckets()
    buckets.charge(limited(""))
    assert len(buckets) == 0


def test_buckets_are_bounded_and_the_least_recently_used_goes_first() -> None:
    buckets = Buckets(most=2, clock=Clock())
    for jti in ("a", "b", "a", "c"):
        admitted(buckets, limited("9rps", jti), 9)
    assert len(buckets) == 2
    assert admitted(buckets, limited("9rps", "a"), 1) == 0

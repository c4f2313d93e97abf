# SPDX-License-Identifier: MIT
"""Plans: from what is declared and what is seen to what is to be done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strata.supervisor.plan import Action, Seen, reload_plan, to_start
from strata.types import ServiceState as S


def seen(state: S, digest: str = "", *, stop_wished: bool = False, attempted: bool = False) -> Seen:
    return Seen(state, digest, stop_wished, attempted)


def test_only_what_has_healthy_dependencies_is_started() -> None:
    """A service waits until everything it comes after is Healthy."""
    services = {"a": seen(S.DECLARED), "b": seen(S.DECLARED), "c": seen(S.HEALTHY), "d": seen(S.DECLARED)}
    after: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": (), "d": ("c",)}

    assert to_start(services, after) == ["a", "d"]


def test_nothing_is_started_twice_or_against_a_wish() -> None:
    """What was attempted is systemd's to restart; what the operator stopped stays stopped."""
    services = {"a": seen(S.DECLARED, attempted=True), "b": seen(S.STOPPED, stop_wished=True), "c": seen(S.QUARANTINED)}

    assert to_start(services, {"a": (), "b": (), "c": ()}) == []


def test_reload_starts_new_restarts_changed_and_stops_removed() -> None:
    """The plan names each step and why."""
    plan = reload_plan(
        {"same": "1", "changed": "2", "new": "3"},
        {"same": seen(S.HEALTHY, "1"), "changed": seen(S.HEALTHY, "1"), "gone": seen(S.HEALTHY, "9")},
    )

    assert plan == [
        Action("stop", "gone", "its manifest is gone"),
        Action("restart", "changed", "its manifest changed"),
        Action("start", "new", "its manifest is new"),
    ]


def test_reload_respects_the_wish_to_stop() -> None:
    """A stopped service stays stopped though its manifest changed."""
    assert reload_plan({"a": "2"}, {"a": seen(S.STOPPED, "", stop_wished=True)}) == []


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("12")),
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("12")),
)
def test_a_carried_out_plan_leaves_nothing_to_do(declared: dict[str, str], running: dict[str, str]) -> None:
    """After its steps, what runs is what is declared, and the next plan is empty."""
    plan = reload_plan(declared, {name: seen(S.HEALTHY, digest) for name, digest in running.items()})
    after = dict(running)
    for action in plan:
        after.pop(action.service, None)
        if action.verb != "stop":
            after[action.service] = declared[action.service]

    assert after == declared
    assert reload_plan(declared, {name: seen(S.HEALTHY, digest) for name, digest in after.items()}) == []

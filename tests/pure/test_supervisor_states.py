# SPDX-License-Identifier: MIT
"""States as a pure function of systemd's truth, and the rules of restarting (spec 1.11; vectors 086-089)."""

from __future__ import annotations

import itertools

import pytest

from strata.supervisor.states import (
    Observation,
    backoff_seconds,
    can_transition,
    is_quarantined,
    state_of,
    why,
)
from strata.systemd.state import UnitStatus
from strata.types import ServiceState as S

LEGAL = {
    (S.DECLARED, S.STARTING),
    (S.STARTING, S.HEALTHY),
    (S.STARTING, S.CRASHED),
    (S.HEALTHY, S.CRASHED),
    (S.HEALTHY, S.STOPPED),
    (S.CRASHED, S.RESTARTING),
    (S.CRASHED, S.QUARANTINED),
    (S.RESTARTING, S.STARTING),
    (S.STOPPED, S.STARTING),
    (S.QUARANTINED, S.STARTING),
}


def unit(
    active: str, sub: str = "", *, load: str = "loaded", result: str = "success", restarts: int = 0, job: str = ""
) -> UnitStatus:
    return UnitStatus("strata-x.service", load, active, sub, job=job, result=result, restarts=restarts)


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (Observation(unit("inactive", "dead", load="not-found")), S.DECLARED),
        (Observation(unit("inactive", "dead")), S.DECLARED),
        (Observation(unit("activating", "start")), S.STARTING),
        (Observation(unit("activating", "start-pre")), S.STARTING),
        (Observation(unit("active", "running")), S.HEALTHY),
        (Observation(unit("reloading", "reload")), S.HEALTHY),
        (Observation(unit("active", "running"), answered=False), S.STARTING),
        (Observation(unit("active", "running"), answered=True), S.HEALTHY),
        (Observation(unit("activating", "auto-restart", result="signal")), S.RESTARTING),
        (Observation(unit("activating", "auto-restart-queued", result="signal")), S.RESTARTING),
        (Observation(unit("deactivating", "stop-watchdog", result="watchdog")), S.CRASHED),
        (Observation(unit("deactivating", "stop-sigterm", job="stop")), S.STOPPED),
        (Observation(unit("deactivating", "stop-sigkill", job="stop", result="timeout")), S.STOPPED),
        (Observation(unit("deactivating", "stop-sigterm", job="restart")), S.RESTARTING),
        (Observation(unit("deactivating", "final-sigterm")), S.RESTARTING),
        (Observation(unit("failed", "failed", result="exit-code", restarts=5)), S.QUARANTINED),
        (Observation(unit("failed", "failed", result="start-limit-hit")), S.QUARANTINED),
        (
            Observation(
                unit("failed", "failed", result="signal"),
                socket=UnitStatus("strata-x.socket", result="service-start-limit-hit"),
            ),
            S.QUARANTINED,
        ),
        (Observation(unit("failed", "failed", result="resources")), S.CRASHED),
        (Observation(unit("failed", "failed", result="exit-code", job="start")), S.STARTING),
        (Observation(unit("inactive", "dead", load="not-found"), unstartable=True), S.CRASHED),
        (Observation(unit("inactive", "dead", load="not-found"), stop_wished=True), S.STOPPED),
        (Observation(unit("deactivating", "stop-sigterm"), stop_wished=True), S.STOPPED),
        (Observation(unit("failed", "failed", result="timeout"), stop_wished=True), S.STOPPED),
    ],
)
def test_state_follows_from_what_systemd_says(seen: Observation, state: S) -> None:
    """Each combination of LoadState, ActiveState, SubState, Result, health answer and wish is one state."""
    assert state_of(seen) is state


def test_a_collected_unit_with_success_is_no_success() -> None:
    """A unit that failed and was collected reads like one that never was: it is Declared, never Healthy."""
    assert state_of(Observation(UnitStatus("strata-x.service", result="success"))) is S.DECLARED


@pytest.mark.parametrize(("before", "after"), list(itertools.product(S, S)))
def test_087_transition_table(before: S, after: S) -> None:
    """All 49 pairs are as spec 1.11 says."""
    assert can_transition(before, after) is ((before, after) in LEGAL)


@pytest.mark.parametrize(
    ("crashes", "seconds"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (100, 30), (10**9, 30)],
)
def test_088_backoff_doubles_up_to_thirty_seconds(crashes: int, seconds: float) -> None:
    """1, 1, 2, 4, 8, 16, 30 … seconds."""
    assert backoff_seconds(crashes) == seconds


@pytest.mark.parametrize(("crashes", "seconds"), [(4, 4.0), (5, 5.0)])
def test_088_backoff_takes_base_and_maximum(crashes: int, seconds: float) -> None:
    """Base 0.5 s and maximum 5 s."""
    assert backoff_seconds(crashes, 0.5, 5.0) == seconds


@pytest.mark.parametrize("crashes", list(range(1, 12)))
def test_088_steps_of_systemd_come_close(crashes: int) -> None:
    """RestartSec=1, RestartMaxDelaySec=30, RestartSteps=5 (systemd.service(5), v254) are within 6 % of the doubling."""
    steps = 30 ** (min(crashes - 1, 5) / 5)

    assert steps == pytest.approx(backoff_seconds(crashes), rel=0.06)


@pytest.mark.parametrize(
    ("times", "crashes", "quarantined"),
    [
        ([0, 30, 60, 90, 119], 5, True),
        ([0, 1, 2], 5, False),
        ([-200, -190, -180, 100, 119], 5, False),
        ([0, 30, 60, 90, 119], 0, False),
    ],
)
def test_089_quarantine_after_five_crashes_in_two_minutes(times: list[float], crashes: int, quarantined: bool) -> None:
    """5 crashes in 119 s are quarantine; 3, or 5 with 3 older than 120 s, are not; 0 means never."""
    assert is_quarantined(times, 119.5, crashes) is quarantined


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            UnitStatus("u", active_state="failed", result="signal", exit_code=2, exit_status=9),
            "it was killed by SIGKILL",
        ),
        (
            UnitStatus("u", active_state="failed", result="exit-code", exit_code=1, exit_status=3),
            "it exited with status 3",
        ),
        (UnitStatus("u", active_state="active", result="success"), ""),
        (UnitStatus("u", active_state="failed", result="oom-kill"), "the kernel killed it for lack of memory"),
    ],
)
def test_why_a_service_ended_is_one_clause(status: UnitStatus, told: str) -> None:
    """Result, exit code and status become words."""
    assert why(status) == told


def test_a_file_that_systemd_could_not_hand_over_is_told() -> None:
    """systemd.exec(5), PROCESS EXIT CODES; what its log says is «Protocol error»."""
    ended = UnitStatus("x.service", active_state="failed", result="exit-code", exit_code=1, exit_status=243)
    assert "CREDENTIALS" in why(ended)

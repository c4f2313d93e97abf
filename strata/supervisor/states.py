# SPDX-License-Identifier: MIT
"""States are read from systemd, never kept beside it: one pure function, and the rules that go with it."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import msgspec

from strata.systemd.state import UnitStatus
from strata.types import ServiceState

S = ServiceState

TRANSITIONS: dict[ServiceState, frozenset[ServiceState]] = {
    S.DECLARED: frozenset({S.STARTING}),
    S.STARTING: frozenset({S.HEALTHY, S.CRASHED}),
    S.HEALTHY: frozenset({S.CRASHED, S.STOPPED}),
    S.CRASHED: frozenset({S.RESTARTING, S.QUARANTINED}),
    S.RESTARTING: frozenset({S.STARTING}),
    S.STOPPED: frozenset({S.STARTING}),
    S.QUARANTINED: frozenset({S.STARTING}),
}
"""What may follow what (spec 1.11). systemd may pass through a state faster than anyone can look."""


class Observation(msgspec.Struct, frozen=True):
    """All that a state depends on.

    `answered`: None when systemd alone knows (notify, watchdog), else whether the last probes were answered.
    `unstartable`: systemd refused even to create the unit.
    """

    unit: UnitStatus
    socket: UnitStatus | None = None
    stop_wished: bool = False
    answered: bool | None = None
    unstartable: bool = False
    restart_wished: bool = False


def state_of(seen: Observation) -> ServiceState:
    """The state of a service, from what systemd says, the last health answer, and the operator's recorded wish."""
    unit = seen.unit
    if seen.stop_wished:
        return S.STOPPED
    if seen.restart_wished and unit.active_state in ("deactivating", "inactive"):
        return S.RESTARTING
    if unit.active_state in ("active", "reloading"):
        return S.STARTING if seen.answered is False else S.HEALTHY
    if unit.active_state == "activating":
        return S.RESTARTING if unit.sub_state.startswith("auto-restart") else S.STARTING
    if unit.active_state == "deactivating":
        return _ending(unit)
    if unit.active_state == "failed":
        if unit.job in ("start", "restart"):  # somebody's restart ended it with an error: it is started next
            return S.STARTING
        return S.QUARANTINED if _gave_up(seen) else S.CRASHED
    return S.CRASHED if seen.unstartable else S.DECLARED


def _ending(unit: UnitStatus) -> ServiceState:
    if unit.ends_as_asked:
        return S.RESTARTING if unit.job == "restart" else S.STOPPED
    return S.CRASHED if _failed(unit) else S.RESTARTING


def _failed(unit: UnitStatus) -> bool:
    return unit.result not in ("", "success")


def _gave_up(seen: Observation) -> bool:
    # With Restart=always only the start limit ends the restarts. systemd keeps the last crash's Result on the service
    # itself (service_enter_dead does not overwrite it); NRestarts and the socket's Result tell.
    limit = seen.socket is not None and seen.socket.result == "service-start-limit-hit"
    return limit or seen.unit.result == "start-limit-hit" or seen.unit.restarts > 0


def can_transition(before: ServiceState, after: ServiceState) -> bool:
    """Whether `after` may follow `before`."""
    return after in TRANSITIONS[before]


def backoff_seconds(crashes: int, base: float = 1.0, longest: float = 30.0) -> float:
    """Delay before the restart that follows crash number `crashes`: base · 2^(n-1), at most `longest` (spec 1.11).

    What systemd is asked for: RestartSec=base, RestartMaxDelaySec=longest, RestartSteps=5 come to the same within 6 %.
    Before v254 systemd knows no steps, and waits `base` every time.
    """
    if crashes <= 1:
        return base
    return min(longest, base * 2.0 ** min(crashes - 1, 64))


def is_quarantined(crash_times: Sequence[float], now: float, crashes: int = 5, window: float = 120.0) -> bool:
    """Whether `crashes` of the crash times lie within the last `window` seconds; never when `crashes` is 0.

    The rule that StartLimitBurst= and StartLimitIntervalSec= make systemd apply (spec 1.11).
    """
    return 0 < crashes <= sum(1 for moment in crash_times if moment > now - window)


def is_down(unit: UnitStatus) -> bool:
    """The service's process has ended, or is being ended, without a wish."""
    if unit.active_state == "deactivating":
        # Without a Result it may yet be a stop whose job was over before we could look at it.
        return not unit.ends_as_asked and _failed(unit)
    return unit.sub_state.startswith("auto-restart") or unit.active_state == "failed"


def is_over(unit: UnitStatus) -> bool:
    """Nothing of the service runs, and systemd is not about to start it."""
    return unit.active_state in ("inactive", "failed") and not unit.job


RESULTS = {
    "exit-code": "it exited",
    "signal": "it was killed",
    "core-dump": "it dumped core",
    "watchdog": "it did not answer the watchdog in time",
    "timeout": "it took too long",
    "oom-kill": "the kernel killed it for lack of memory",
    "start-limit-hit": "it was started too often",
    "protocol": "it ended before it said that it was ready",
    "resources": "systemd could not set it up",
    "exec-condition": "its condition was not met",
}

_EXIT_STATUS = {
    203: " (EXEC: the command cannot be run)",
    217: " (USER)",
    226: " (NAMESPACE)",
    238: " (STATE_DIRECTORY)",
    243: " (CREDENTIALS: systemd cannot read a file that it is to hand over; `strata-ctl doctor` looks at them)",
}


def why(unit: UnitStatus) -> str:
    """One clause on how the service last ended, "" when it has not (systemd.exec(5), PROCESS EXIT CODES)."""
    if unit.exit_code == 1 and (unit.exit_status or is_down(unit)):
        detail = f" with status {unit.exit_status}{_EXIT_STATUS.get(unit.exit_status, '')}"
        return RESULTS.get(unit.result if unit.result not in ("", "success") else "exit-code", "it ended") + detail
    if unit.exit_code in (2, 3):
        return RESULTS.get(unit.result, "it was killed") + f" by {_signal_name(unit.exit_status)}"
    return RESULTS.get(unit.result, "") if unit.result != "success" else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

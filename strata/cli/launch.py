# SPDX-License-Identifier: MIT
"""Strata's two first units, started; then waiting until the supervisor says that all is Healthy, or will not be."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Mapping, Sequence
from typing import Any

from strata import config
from strata.cli import call, installed, status
from strata.cli.modes import Manager, version_number
from strata.errors import Conflict, StrataError, Unavailable
from strata.paths import Paths
from strata.systemd.bus import Bus, TransientUnit
from strata.units import context, names, properties, render

_LOOK_SECONDS = 0.05
"""Between attempts to connect: a unix socket that is not there yet gives no event to wait for."""

_UNTOLD_SECONDS = 2.0
"""Between looks when nothing is told: a supervisor that is restarted meanwhile numbers its events anew."""


class NotHealthy(Exception):
    """Strata came up in part or not at all. `units` are those whose journal tells why."""

    def __init__(self, reason: str, units: Sequence[str]) -> None:
        super().__init__(reason)
        self.reason, self.units = reason, tuple(units)


def start_units(bus: Bus, manager: Manager, paths: Paths) -> None:
    """Start strata.slice and the supervisor, the installed one if there is one, unless it is up. Raises StrataError."""
    version = version_number(bus.version())
    here = context.context(manager.mode, version, paths, config.load(paths))
    refuse_foreign(bus, paths)
    status = bus.status(names.SUPERVISOR)
    if status.running:
        return
    if not status.gone:
        bus.reset_failed(names.SUPERVISOR)
    if installed.fragment(bus):
        installed.tell_what_is_not_heeded(paths)
        bus.start(names.SUPERVISOR)
        return
    _start(bus, render.render_slice(here), version, again=False)
    _start(bus, render.render_supervisor(here), version, again=True)


def refuse_foreign(bus: Bus, paths: Paths) -> None:
    """Raises Conflict when the supervisor on this manager serves another runtime directory: unit names are one's."""
    theirs = installed.environment(bus).get("STRATA_RUNTIME_DIR", "")
    if theirs and theirs != str(paths.runtime_dir):
        raise Conflict(
            f"cannot use {paths.runtime_dir}: this systemd already runs Strata for {theirs}; "
            f"set STRATA_RUNTIME_DIR={theirs} to operate that one"
        )


def _start(bus: Bus, unit: render.UnitText, version: int, again: bool) -> None:
    wanted = TransientUnit(unit.name, properties.encode(unit, version).properties)
    deadline = time.monotonic() + 5.0
    while True:
        try:
            bus.start_transient(wanted)
        except Conflict:
            # The slice is loaded as soon as anything names it; a failed unit is forgotten a moment after its reset.
            if not again:
                return
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def wait_for_supervisor(bus: Bus, paths: Paths, deadline: float) -> None:
    """Until its socket answers; `deadline` on time.monotonic(). Raises NotHealthy as soon as its unit has failed."""
    while not call.answers(paths):
        status = bus.status(names.SUPERVISOR)
        if status.active_state == "failed" or status.gone:
            raise NotHealthy(f"the supervisor failed ({status.result or 'it is gone'})", [names.SUPERVISOR])
        if time.monotonic() > deadline:
            raise NotHealthy("the supervisor does not answer in time", [names.SUPERVISOR])
        select.select([bus], [], [], _LOOK_SECONDS)
        for _ in bus.signals():
            pass


def wait_for_services(paths: Paths, deadline: float) -> None:
    """Until there is no problem with any service, or with users' own alone that no waiting will mend.

    Raises NotHealthy when one of the core is not well at the deadline, or will not be.
    """
    while True:
        try:
            seq = _last_event(paths)
            left = status.problems(_services(paths))
            core = [row for row in left if row["name"] in names.CORE]
            late = time.monotonic() > deadline
            if core and (late or any(row.get("stays") for row in core)):
                raise NotHealthy(_reasons(core), [row["unit"] for row in core])
            if late or all(row.get("stays") for row in left):
                return
            _next_event(paths, seq, deadline)
        except Unavailable as error:
            # A supervisor that is being restarted by systemd is back in a moment.
            if time.monotonic() > deadline:
                raise NotHealthy(error.message, [names.SUPERVISOR]) from error
            time.sleep(_LOOK_SECONDS)


def _services(paths: Paths) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = call.call(paths, "supervisor.svc.list")["services"]
    return found


def _last_event(paths: Paths) -> int:
    kept = list(call.stream(paths, "supervisor.events", {"follow": False}, call.SECONDS))
    return int(kept[-1]["seq"]) if kept else 0


def _next_event(paths: Paths, seq: int, deadline: float) -> None:
    """Return when something happened after event `seq`, or after a while, or at the deadline."""
    patience = min(_UNTOLD_SECONDS, max(0.01, deadline - time.monotonic()))
    stream = call.stream(paths, "supervisor.events", {"since": seq, "follow": True}, patience)
    with contextlib.suppress(StrataError):  # the caller looks again, and judges by the clock
        next(stream, None)


def _reasons(left: Sequence[Mapping[str, Any]]) -> str:
    told = [f"{row['name']} is {row['state']}" + (f" ({row['why']})" if row.get("why") else "") for row in left]
    return ", ".join(told)

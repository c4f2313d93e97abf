# SPDX-License-Identifier: MIT
"""What tells a service that somebody stopped from one that systemd gave up, both having failed; old systemd and new."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from machine import Manager
from node import until

from strata.systemd.bus import Bus, TransientUnit
from strata.systemd.state import UnitStatus
from strata.units import manifest, properties, render
from strata.units.context import context

pytestmark = pytest.mark.timeout(60)

LEAVING = "trap 'exit 143' TERM; while :; do sleep 0.05; done"
Start = Callable[[str], str]


@pytest.fixture(params=["manager", "modern_manager"])
def place(request: pytest.FixtureRequest) -> Manager:
    found: Manager = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def bus(place: Manager) -> Iterator[Bus]:
    found = Bus(place.bus_address)
    yield found
    found.close()


@pytest.fixture
def start(place: Manager, bus: Bus) -> Iterator[Start]:
    """Starts a service that runs that text in a shell; its unit. It may be started three times a minute."""
    started = []

    def begin(text: str) -> str:
        limits = '[restart]\nbackoff = "100ms"\ncrashes = 3\nwindow = "60s"\n'
        declared = manifest.parse(f'command = ["/bin/sh", "-c", "{text}"]\n{limits}', "straight", "this test")
        (unit,) = render.render(declared, context("embedded", place.version, place.paths))
        bus.start_transient(TransientUnit(unit.name, properties.encode(unit, place.version).properties))
        started.append(unit.name)
        return unit.name

    yield begin
    for name in started:
        place.run(["systemctl", "stop", name])
        bus.reset_failed(name)


def _failed(bus: Bus, unit: str) -> UnitStatus:
    return until(lambda: found if (found := bus.status(unit)).active_state == "failed" else None, f"{unit} fails")


def test_one_that_was_stopped_failed_straight_from_its_run(place: Manager, bus: Bus, start: Start) -> None:
    unit = start(LEAVING)
    until(lambda: bus.status(unit).active_state == "active", "it runs")
    place.run(["systemctl", "stop", unit])

    assert (_failed(bus, unit).exit_status, _failed(bus, unit).straight) == (143, True)


def test_one_that_was_given_up_did_not(bus: Bus, start: Start) -> None:
    assert not _failed(bus, start("exit 143")).straight


def test_nor_one_whose_restart_was_refused(place: Manager, bus: Bus, start: Start) -> None:
    """Too many of somebody's restarts are met by the start limit, too."""
    unit = start(LEAVING)
    for _ in range(3):
        until(lambda: bus.status(unit).active_state == "active", "it runs")
        place.run(["systemctl", "restart", unit])

    assert not _failed(bus, unit).straight

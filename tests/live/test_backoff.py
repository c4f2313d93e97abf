# SPDX-License-Identifier: MIT
"""Vector 088 where systemd can: the delay before a restart doubles (RestartSteps=, v254). Below v254 it is constant."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from machine import Manager

from strata.supervisor.states import backoff_seconds
from strata.systemd.bus import Bus, TransientUnit
from strata.units import manifest, properties, render
from strata.units.context import context

MANIFEST = """
command = ["/bin/sh", "-c", "date +%s.%N >> {file}; exit 1"]
[restart]
backoff = "100ms"
backoff_max = "3200ms"
crashes = {crashes}
window = "60s"
"""


def starts(manager: Manager, crashes: int) -> list[float]:
    """Moments at which a service that fails at once was started, until systemd gave up."""
    file = manager.paths.state_dir / "starts"
    file.unlink(missing_ok=True)
    declared = manifest.parse(MANIFEST.format(file=file, crashes=crashes), "backoff", "this test")
    where = context("embedded", manager.version, manager.paths)
    (text,) = render.render(declared, where)
    bus = Bus(manager.bus_address)
    try:
        bus.start_transient(TransientUnit(text.name, properties.encode(text, manager.version).properties))
        deadline = time.monotonic() + 30
        while bus.status(text.name).active_state != "failed":
            assert time.monotonic() < deadline, bus.status(text.name)
            time.sleep(0.05)
        return _moments(file)
    finally:
        bus.reset_failed(text.name)
        bus.close()


def _moments(file: Path) -> list[float]:
    return [float(line) for line in file.read_text().split()]


@pytest.mark.timeout(90)
def test_088_delays_double_on_a_systemd_that_knows_steps(modern_manager: Manager) -> None:
    """100 ms, 200 ms, 400 ms, 800 ms, 1.6 s: measured between real starts on v254 and newer."""
    moments = starts(modern_manager, crashes=6)
    delays = [later - earlier for earlier, later in itertools.pairwise(moments)]

    assert len(moments) == 6
    for number, delay in enumerate(delays, 1):
        wanted = backoff_seconds(number, 0.1, 3.2)
        assert wanted * 0.95 <= delay <= wanted + 0.5, (number, delays)


@pytest.mark.timeout(90)
def test_088_delays_are_constant_before(manager: Manager) -> None:
    """v252 and v253 wait `backoff` every time; the directives they do not know are left out, not refused."""
    if manager.version >= 254:
        pytest.skip("this machine's systemd knows RestartSteps")
    moments = starts(manager, crashes=4)

    assert len(moments) == 4
    for earlier, later in itertools.pairwise(moments):
        assert 0.095 <= later - earlier <= 0.7

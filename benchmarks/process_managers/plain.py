# SPDX-License-Identifier: MIT
"""systemd with nobody beside it: transient services with Restart=always, as systemd-run makes them.

The calls are systemd-run's own (StartTransientUnit), on a connection that is held: the program would take longer to be
loaded than to ask.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet import DEADLINE, Fleet
from benchmarks.place import Place
from benchmarks.process_managers.contract import Answer, parent
from benchmarks.process_managers.strata import Strata
from strata.cli import modes
from strata.cli.manager_bus import bus_of
from strata.errors import NotFound
from strata.systemd.bus import TransientUnit
from strata.units.rows import Property


class Plain:
    """The systemd that Strata runs on too."""

    name, delay, asked = "systemd", "RestartUSec=0", "StartTransientUnit over D-Bus, as systemd-run does"

    def __init__(self, place: Place, fleet: Fleet, directory: Path) -> None:
        self._stack, self._fleet, self._names = contextlib.ExitStack(), fleet, list[str]()
        self._bus = self._stack.enter_context(bus_of(modes.manager_of(place.mode, place.paths)))
        self.version = self._bus.version()
        strata = Strata(place, fleet, directory)
        self._pid = parent(strata.managers()[0])

    def declare(self, names: Sequence[str]) -> None:
        """One unit each."""
        for name in self._names:
            if name not in names:
                self.stop(name)
        for name in names:
            if name not in self._names:
                self.start(name)
        self._names = list(names)

    def start(self, name: str) -> Answer:
        """Answered when the job is queued."""
        command = self._fleet.command(name)
        properties = (
            Property("Restart", "s", "always"),
            Property("RestartUSec", "t", 0),
            Property("StartLimitIntervalUSec", "t", 0),
            Property("ExecStart", "a(sasb)", [(command[0], command, False)]),
        )
        self._bus.start_transient(TransientUnit(_unit(name), properties))
        return lambda: None

    def stop(self, name: str) -> None:
        """A transient unit is forgotten once it is stopped."""
        with contextlib.suppress(NotFound):
            self._bus.stop(_unit(name))
        end = time.monotonic() + DEADLINE
        while not self._bus.status(_unit(name)).gone:
            if time.monotonic() > end:
                raise TimeoutError(f"cannot measure: systemd does not stop {_unit(name)}")
            time.sleep(0.01)

    def managers(self) -> list[int]:
        """PID 1, or the user manager."""
        return [self._pid]

    def close(self) -> None:
        try:
            self.declare([])
        finally:
            self._stack.close()


def _unit(name: str) -> str:
    return f"bench-{name}.service"

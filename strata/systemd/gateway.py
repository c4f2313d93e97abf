# SPDX-License-Identifier: MIT
"""The process between an event loop and systemd: it may block on D-Bus, so that the loop never does.

Started by `manager.py` with a socketpair as its standard input. Requests come in as frames and are answered in order;
in between, it reports finished jobs and the new status of every unit that changed. It ends when its parent does.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from strata.errors import StrataError, Unavailable
from strata.sockets import frame
from strata.systemd import fragment
from strata.systemd.bus import Bus, TransientUnit
from strata.systemd.reports import Answer, Ask, JobDone, Report, UnitChanged, Up
from strata.systemd.state import Job
from strata.units.rows import Property


def _transient(bus: Bus, units: list[tuple[str, list[tuple[str, str, Any]]]]) -> str:
    first, *others = (TransientUnit(name, tuple(Property(*row) for row in rows)) for name, rows in units)
    return bus.start_transient(first, others)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "version": Bus.version,
    "start_transient": _transient,
    "start": Bus.start,
    "stop": Bus.stop,
    "restart": Bus.restart,
    "kill_run": Bus.kill_run,
    "reset_failed": Bus.reset_failed,
    "units": Bus.units,
    "job_type": Bus.job_type,
    "binding": Bus.binding,
    "rewrite": fragment.rewrite,
}

JOBS = ("start_transient", "start", "stop", "restart")
"""Those that answer with the path of a job."""


class Gateway:
    """One bus, one parent."""

    def __init__(self, bus: Bus, parent: socket.socket, prefix: str, kinds: tuple[str, ...]) -> None:
        self.bus, self.parent = bus, parent
        self._prefix, self._kinds = prefix, kinds
        self._jobs: set[str] = set()  # asked for here and not finished
        self._frames = frame.Decoder()
        self._asks = msgspec.msgpack.Decoder(Ask)

    def serve(self) -> None:
        """Until the parent hangs up."""
        poll = select.poll()
        poll.register(self.bus.fileno(), select.POLLIN)
        poll.register(self.parent, select.POLLIN)
        self._report_changes()
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.parent.fileno() in ready:
                data = self.parent.recv(262_144)
                if not data:
                    return
                for payload in self._frames.feed(data):
                    self._answer(self._asks.decode(payload))
            self._report_changes()

    def _answer(self, ask: Ask) -> None:
        if ask.deadline and time.monotonic() > ask.deadline:
            return  # done now, it would surprise whoever has been told that it failed
        try:
            if ask.operation == "look":
                self._send(UnitChanged(self.bus.status(*ask.arguments)))
                self._send(Answer(ask.number))
            else:
                value = OPERATIONS[ask.operation](self.bus, *ask.arguments)
                if ask.operation in JOBS:
                    self._jobs.add(value)
                self._send(Answer(ask.number, value))
        except StrataError as error:
            self._send(Answer(ask.number, None, error.code, error.message))

    def _report_changes(self) -> None:
        # A reading below may queue further signals, which no poll would wake us for: look until nothing is left.
        while changed := self._collect():
            for name in changed:
                self._report(name)

    def _report(self, name: str) -> None:
        try:
            self._send(UnitChanged(self.bus.status(name)))
        except Unavailable:
            raise
        except StrataError as error:
            print(f"<4>strata gateway: {error.message}", file=sys.stderr)

    def _collect(self) -> list[str]:
        changed: dict[str, None] = {}
        for found in self.bus.signals():
            name = found.unit if isinstance(found, Job) else found
            if isinstance(found, Job) and found.path in self._jobs:
                self._jobs.remove(found.path)
                self._send(JobDone(found))
            if name.startswith(self._prefix) and name.endswith(self._kinds):
                changed[name] = None
        return list(changed)

    def _send(self, report: Report) -> None:
        _send(self.parent, report)


def _send(parent: socket.socket, report: Report) -> None:
    parent.sendall(frame.encode(msgspec.msgpack.encode(report)))


def main() -> int:
    """`python -m strata.systemd.gateway ADDRESS PREFIX KIND…`, with the parent's socket as standard input."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Signals to the whole unit are meant for the parent, which needs us to end in good order; we end with it.
        signal.signal(number, signal.SIG_IGN)
    parent = socket.socket(fileno=0)
    try:
        _send(parent, Up())
        Gateway(Bus(sys.argv[1]), parent, sys.argv[2], tuple(sys.argv[3:])).serve()
    except StrataError as error:
        print(f"<3>strata gateway: {error.message}", file=sys.stderr)
        return 1
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the parent is gone
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""`strata run`: Strata with the settings of this environment, for as long as this process lives."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import NoReturn

import click

from strata import config, programs
from strata.cli import call, down, modes, output, status, up
from strata.cli.modes import Manager
from strata.embedded import boot
from strata.errors import Conflict, InvalidArgument, Unavailable
from strata.paths import Paths
from strata.units import context, names
from strata.units.context import Mode

_LOOK_SECONDS = 2.0
_GONE_AFTER = 3
"""Looks in a row: a supervisor that systemd starts anew is back before."""


class Stopped(BaseException):
    """A signal asks this process to end. No error: nothing on the way may take it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@click.command("run")
@click.option("--mode", type=click.Choice(modes.MODES), help="Where to run; otherwise this machine decides.")
@click.option(
    "--insecure-no-auth", is_flag=True, help="Whoever reaches the port may do everything; for loopback addresses only."
)
def command(mode: Mode | None, insecure_no_auth: bool) -> int:
    """Serve sandboxes with the settings of this environment, until SIGTERM or Ctrl-C; then nothing is left running.

    It is `strata-ctl up` and, at the end, `strata-ctl down`. Strata that runs here already with the same settings is
    watched, and left running.
    """
    if insecure_no_auth:
        os.environ["STRATA_INSECURE_NO_AUTH"] = "true"
    paths = Paths.from_env()
    try:
        settings = config.load(paths)
    except InvalidArgument as error:
        sys.stderr.write("usage: strata run [OPTIONS]; `strata --help` names the variables that set it up\n")
        output.note(f"error: {error.message}")
        return 1
    if not programs.find("bwrap"):
        raise Unavailable(f"bwrap is required: {programs.install('bubblewrap')}")
    return _serve(paths, mode, settings)


def _serve(paths: Paths, mode: Mode | None, settings: config.Settings) -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _stop)
    ours = False
    try:
        boot.await_end(paths)
        if call.answers(paths):
            _refuse_other_settings(modes.current(paths))
        else:
            ours = True  # also when it fails half way
            up.start(paths, mode, time.monotonic() + up.DEADLINE)
        _say(settings, ours)
        for row in status.problems(call.call(paths, "supervisor.svc.list")["services"]):
            output.note(f"warning: {status.sentence(row)}")
        _watch(paths)
    except Stopped as stopped:
        output.note(f"{signal.Signals(stopped.number).name}: " + ("stopping" if ours else "leaving it to run"))
        return 0
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it goes on to the end
        if ours:
            down.take_down(paths)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


def _refuse_other_settings(manager: Manager | None) -> None:
    """Raises Conflict when what runs was started with other variables than ours."""
    if manager is None:
        return
    from strata.cli.manager_bus import bus_of

    with bus_of(manager) as bus:
        lines = [item.decode() for item in bus.property(names.SUPERVISOR, "Service", "Environment", "as")]
    there = dict(line.partition("=")[::2] for line in lines)
    if different := differences(there, os.environ):
        raise Conflict(
            f"cannot serve with {', '.join(different)}: Strata runs here already with other settings; "
            "stop it with `strata-ctl down`, or name other directories with STRATA_RUNTIME_DIR and STRATA_STATE_DIR"
        )


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The settings' variables that two environments do not agree on, as they are `here`."""
    ours, theirs = dict(context.settings_here(here)), dict(context.settings_here(there))
    names_of_both = [name for name in {**ours, **theirs} if name not in _OWN]
    return [f"{name}={ours.get(name, '')}" for name in names_of_both if ours.get(name) != theirs.get(name)]


_OWN = ("STRATA_LOG_LEVEL",)
"""Always set by `strata` itself; what runs may be as talkative as it was told."""


def _say(settings: config.Settings, ours: bool) -> None:
    scheme = "https" if settings.api.tls_certificate else "http"
    output.note(f"serving sandboxes on {scheme}://{settings.api.address} (REST, WebSocket, gRPC, MCP)")
    if settings.api.insecure_no_auth:
        output.note("warning: no authentication: everybody who reaches that port may do everything")
    output.note("Ctrl-C stops it" if ours else "it ran already; Ctrl-C leaves it to run")


def _watch(paths: Paths) -> NoReturn:
    """Until a signal comes. Raises Unavailable when Strata is gone."""
    missing = 0
    while missing < _GONE_AFTER:
        time.sleep(_LOOK_SECONDS)
        missing = 0 if call.answers(paths) else missing + 1
    raise Unavailable("Strata has been stopped by somebody else; look at `strata-ctl status`")

# SPDX-License-Identifier: MIT
"""`status`: the state of everything on one screen, problems last so that they are what one sees."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from strata.cli import call, format, options, output, sandboxes
from strata.cli.table import Cell, printable
from strata.errors import StrataError, Unavailable
from strata.paths import Paths
from strata.types import ServiceState

STYLES: dict[str, str] = {
    ServiceState.HEALTHY: "green",
    ServiceState.STOPPED: "dim",
    ServiceState.CRASHED: "red",
    ServiceState.QUARANTINED: "red",
}
"""Any other state is on its way somewhere: yellow."""

_REMEDY: dict[str, str] = {
    ServiceState.QUARANTINED: "look at `strata-ctl logs {name}`, mend it, then `strata-ctl reset {name}`",
    ServiceState.CRASHED: "look at `strata-ctl logs {name}`, then `strata-ctl start {name}`",
    ServiceState.DECLARED: "start it with `strata-ctl start {name}`",
}
_GOOD = (ServiceState.HEALTHY, ServiceState.STOPPED)
_TITLES = ("SERVICE", "STATE", "UNIT", "PID", "RESTARTS", "MEMORY", "SINCE")
_NUMBERS = ("PID", "RESTARTS", "MEMORY")


@click.command("status")
@options.as_json
@options.timeout
def command(as_json: bool, timeout: float) -> int:
    """Services, states and why.

    Exit code 0 only if every service is Healthy, Stopped because somebody wished so, or waiting for its first client.
    """
    paths = Paths.from_env()
    if not call.answers(paths):
        return _nothing_runs(paths, as_json)
    found = gather(paths, timeout)
    if as_json:
        output.document(found)
    else:
        show(found)
    return 0 if found["ok"] else 1


def gather(paths: Paths, timeout: float = call.SECONDS) -> dict[str, Any]:
    """Everything that `status` shows, as one JSON value. Raises StrataError."""
    about = call.call(paths, "supervisor.status", timeout=timeout)
    services = call.call(paths, "supervisor.svc.list", timeout=timeout)["services"]
    ok = not problems(services) and not about["problems"]
    found = {"running": True, "ok": ok, "runtime_dir": str(paths.runtime_dir), **about, "services": services}
    if any(row["name"] == "sandbox" and row["state"] == ServiceState.HEALTHY for row in services):
        found["sandboxes"] = _sandboxes()
    return found


def _sandboxes() -> dict[str, Any]:
    """The sessions there are, and how many there may be; or why the caller may not see them."""
    try:
        with sandboxes.connect() as room:
            return {**room.call("stats", {}), "sessions": room.call("list", {})["sessions"]}
    except StrataError as error:
        return {"error": error.message}


def problems(services: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The services that are neither Healthy, nor Stopped, nor waiting for their first client.

    A crash is never Stopped: that state is only ever a wish.
    """
    return [row for row in services if row["state"] not in _GOOD and not row.get("waits")]


def show(found: Mapping[str, Any]) -> None:
    """Print it for a person."""
    services = found["services"]
    healthy = sum(row["state"] == ServiceState.HEALTHY for row in services)
    up = format.duration(found["uptime_sec"])
    where = f"node {found['node_id']} · {found['mode']} mode, systemd {found['systemd']}"
    output.line(printable(f"Strata on {where} · up {up} · {healthy} of {len(services)} Healthy") + "\n")
    output.columns(_TITLES, [_row(row) for row in services], right=_NUMBERS)
    for row in problems(services):
        output.line()
        output.line(sentence(row), STYLES.get(row["state"], "yellow"))
    if "sandboxes" in found:
        _show_sandboxes(found["sandboxes"])
    for problem in found["problems"]:
        output.line("\n" + printable(problem), "red")


def _show_sandboxes(found: Mapping[str, Any]) -> None:
    if "error" in found:
        output.line("\n" + printable(f"sandboxes: {found['error']}"))
        return
    sessions = found["sessions"]
    output.line(f"\n{found['active_sessions']} of {found['max_sessions']} sandboxes open")
    if not sessions:
        return
    rows = [
        (
            f"{row['owner']}/{row['session']}",
            row["state"],
            format.duration(row["age_seconds"]),
            ", ".join(map(str, row.get("activity") or [])) or f"idle for {format.duration(row['idle_seconds'])}",
        )
        for row in sessions[:_SHOWN]
    ]
    output.columns(("SANDBOX", "STATE", "AGE", "DOES"), rows)
    if len(sessions) > _SHOWN:
        output.line(f"and {len(sessions) - _SHOWN} more; `strata-ctl sandbox ls` lists them all")


_SHOWN = 10


def _row(row: Mapping[str, Any]) -> list[Cell | str]:
    state = row["state"]
    return [
        row["name"],
        Cell(state, STYLES.get(state, "yellow")),
        row["unit"],
        str(row["pid"] or "-"),
        str(row["restarts"]),
        format.size(row["memory_bytes"]),
        format.duration(time.time() - row["since"]),
    ]


def sentence(row: Mapping[str, Any]) -> str:
    """What is wrong with a service, and what to type."""
    name, state = printable(row["name"]), row["state"]
    why = f": {printable(row['why'])}" if row.get("why") else ""
    remedy = _REMEDY.get(state, "wait for it: `strata-ctl events -f`").format(name=name)
    if why and state == ServiceState.DECLARED:
        remedy = f"mend that, then `strata-ctl start {name}`"
    return f"{name} is {state}{why}; {remedy}"


def _nothing_runs(paths: Paths, as_json: bool) -> int:
    if as_json:
        output.document({"running": False, "ok": False, "runtime_dir": str(paths.runtime_dir), "services": []})
        return 1
    raise Unavailable(
        f"cannot show the status: Strata is not running (nothing answers at {paths.socket('supervisor')}); "
        f"start it with `strata-ctl up`{call.machines_own(paths)}"
    )

# SPDX-License-Identifier: MIT
"""`restart` without a name: Strata itself, anew, with its code and settings as they are on disk now.

What `systemctl restart strata-supervisor` does, in every mode, and waiting until it is done: the supervisor ends and
leaves everything running, the next one adopts it, and restarts what runs by other code or settings, one after another.
"""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any

from strata import __version__, config
from strata.cli import call, modes, output
from strata.cli.table import printable
from strata.errors import StrataError, Unavailable
from strata.paths import Paths
from strata.units import names

if TYPE_CHECKING:
    from strata.systemd.bus import Bus

_LOOK_SECONDS = 0.1
_TOLD = ("svc.restart", "svc.removed", "rollout.stopped")


def everything(paths: Paths, timeout: float, as_json: bool) -> int:
    """Restart Strata and wait, at most `timeout` seconds, until the new one is everywhere; the exit code.

    Raises StrataError; settings that cannot be used are told before anything is touched.
    """
    config.load(paths)
    deadline = time.monotonic() + timeout
    manager = modes.required(paths)
    from strata.cli import launch, up  # pystemd takes a while to import
    from strata.cli.manager_bus import bus_of

    with bus_of(manager) as bus:
        launch.refuse_foreign(bus, paths)
        if not _replaced(bus, deadline):
            up.settle(bus, manager, paths, deadline)  # it says why that cannot be
    return _show(_wait(paths, deadline), paths, as_json)


def waiting(paths: Paths, version: str) -> list[str]:
    """What a restart would apply to the Strata that runs, of that version; nothing for who may not know."""
    try:
        notes = call.call(paths, "supervisor.svc.reload", {"apply": False}).get("notes", [])
    except StrataError:
        notes = []
    return [*elsewhere(version), *notes]


def elsewhere(version: str) -> list[str]:
    """A word on the version that runs, if it is not this program's."""
    if version == __version__:
        return []
    return [f"Strata {version} runs and {__version__} is installed: `strata-ctl restart` applies it"]


def _replaced(bus: Bus, deadline: float) -> bool:
    """Restart the supervisor; whether the new one serves."""
    before = bus.status(names.SUPERVISOR)
    if before.gone:
        raise Unavailable("cannot restart: Strata does not run; start it with `strata-ctl up`")
    bus.reset_failed(names.SUPERVISOR)  # a wished restart must not count towards the limit
    bus.restart(names.SUPERVISOR)
    while True:
        now = bus.status(names.SUPERVISOR)
        if now.invocation_id != before.invocation_id and now.active_state in ("active", "failed"):
            return now.active_state == "active"
        if time.monotonic() > deadline:
            raise Unavailable(f"cannot restart: {names.SUPERVISOR} is still {now.active_state}; see `strata-ctl logs`")
        select.select([bus], [], [], _LOOK_SECONDS)
        for _ in bus.signals():
            pass


def _wait(paths: Paths, deadline: float) -> dict[str, Any]:
    """The supervisor's status once what runs is what it should be, or cannot be made so."""
    while True:
        found: dict[str, Any] = call.call(paths, "supervisor.status")
        if found["rollout"] != "running":
            return found
        if time.monotonic() > deadline:
            raise Unavailable("cannot see the restart through: it goes on; `strata-ctl events` shows how far it is")
        time.sleep(_LOOK_SECONDS)


def _show(found: dict[str, Any], paths: Paths, as_json: bool) -> int:
    events = [event for event in call.stream(paths, "supervisor.events", {"follow": False}) if event["event"] in _TOLD]
    if as_json:
        output.document(found | {"events": events})
    else:
        for event in events:
            output.line(printable(f"{event['service']}: {event['message']}"))
        output.line(f"Strata {printable(found['version'])} runs: {found['healthy']} of {found['services']} Healthy")
    return 0 if found["rollout"] == "done" else 1

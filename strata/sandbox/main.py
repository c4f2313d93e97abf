# SPDX-License-Identifier: MIT
"""The sandbox room as a process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from strata import values
from strata.config import Settings, limits_of
from strata.errors import Unavailable
from strata.paths import Paths
from strata.policy.feed import following
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.sandbox import cgroup, handlers, seccomp
from strata.sandbox.adoption import adopt
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.ids import of_scope
from strata.sandbox.launching import Launcher
from strata.sandbox.layers import bwrap, stock
from strata.sandbox.opening import Tools
from strata.sandbox.permission import SandboxGate
from strata.sandbox.priming import Primer, own_group
from strata.sandbox.room import Room
from strata.sandbox.tools import usual
from strata.sockets import listen
from strata.sockets.limits import LIMITS
from strata.sockets.server import Server
from strata.systemd import daemon, ending
from strata.systemd.address import default_address
from strata.systemd.audit import Denials
from strata.systemd.manager import SCOPES, Manager
from strata.systemd.state import UnitStatus
from strata.units.names import core_unit

log = logging.getLogger(__name__)
UNIT = core_unit("sandbox", "service")
_LIMITS = LIMITS._replace(connections=4096, connections_per_uid=2048)
"""The door has one user and many clients."""


class Reports:
    """Carries systemd's reports on scopes to the room."""

    def __init__(self) -> None:
        self.room: Room | None = None

    def unit_changed(self, status: UnitStatus) -> None:
        key = of_scope(status.name)
        if self.room and key and not status.running:
            self.room.ended(key)

    def resync(self) -> None:
        for key in tuple(self.room.sessions) if self.room else ():
            self.room.ended(key) if self.room else None


@contextlib.asynccontextmanager
async def compose(paths: Paths, settings: Settings) -> AsyncIterator[Server]:
    """The sandbox server, with every session that lives adopted."""
    _require()
    if settings.api.insecure_no_auth:
        log.warning("api.insecure_no_auth is set: everybody who reaches this service may do everything with sandboxes")
    trust = Trust()
    gate = Gate(trust, settings.operators)
    reports = Reports()
    async with _tools(reports) as tools:
        store = DescriptorStore(listen.stored())
        root = Path(settings.sandbox.session_root or paths.state_dir / "sandbox")
        room = reports.room = Room(tools, settings.sandbox, root, gate.buckets, store)
        async with daemon.patience():
            await adopt(room)
            handlers.adopt(room)
            store.drop_untaken()
            await asyncio.to_thread(_prepare, room)
        async with following(trust, paths.socket("identity")):
            everybody = SandboxGate(gate, settings.api.insecure_no_auth)
            yield Server(
                handlers.METHODS, room, everybody, Denials(), _LIMITS, descriptors=True, greet=tools.primer.prime
            )
        async with daemon.patience():
            if await ending.is_for_good(tools.manager, UNIT, unasked=False):
                await room.close_all("Strata stops")
            else:
                await room.leave()


@contextlib.asynccontextmanager
async def _tools(reports: Reports) -> AsyncIterator[Tools]:
    launcher, manager = Launcher(seccomp.program()), Manager(default_address(), reports, watched=SCOPES)
    try:
        await launcher.start()
        await manager.open()
        version = int((await manager.version()).split(".")[0].split("-")[0].split("~")[0])
        layout = cgroup.layout()
        with contextlib.closing(Primer(own_group(layout.tree))) as primer:
            yield Tools(launcher, manager, layout, version, primer)
    finally:
        await launcher.close()
        await manager.close()


def _prepare(room: Room) -> None:
    """Make what the first session would wait for."""
    settings = room.settings
    limits = (settings.limits, *(limits_of(settings.limits, each.limits) for each in settings.templates.values()))
    disks = {(values.size(each.disk_max), each.inodes_max) for each in limits}
    network = "isolated" if settings.isolate_network else "host"
    try:
        given = settings.tools or usual()
        cannot = stock.prepare(str(room.root / "stock"), network, given, disks, room.mapped, alone=not room.sessions)
    except OSError as error:
        raise Unavailable(f"cannot prepare for sandboxes: {error}") from error
    for sentence in cannot:
        log.warning("%s; what sessions write is kept in memory", sentence)


def _require() -> None:
    try:
        bwrap.program()
    except OSError as error:
        raise Unavailable(str(error.strerror or error)) from error


def main() -> int:
    """Serve until told to stop; the exit code."""
    os.umask(0o022)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return daemon.run(compose, "sandbox")


if __name__ == "__main__":
    sys.exit(main())

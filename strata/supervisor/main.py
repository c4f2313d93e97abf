# SPDX-License-Identifier: MIT
"""The supervisor as a process: composes the parts, adopts what runs, and ends in good order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple, cast, get_args

from strata.config import Settings
from strata.edition import edition
from strata.errors import Conflict, StrataError, Unavailable
from strata.paths import Paths
from strata.policy.feed import PATIENCE, following
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.sockets.server import Server
from strata.supervisor import declarations, handlers
from strata.supervisor.board import Board
from strata.supervisor.converge import Converge
from strata.supervisor.events import Events
from strata.supervisor.leases import Leases
from strata.supervisor.operations import DRAIN_SECONDS, Operations
from strata.supervisor.pending import pending
from strata.supervisor.probes import Probes
from strata.supervisor.publication import IDENTITY, Publication
from strata.supervisor.reload import Reload
from strata.supervisor.rollout import Rollout
from strata.supervisor.service import Service
from strata.supervisor.wishes import Wishes
from strata.systemd import daemon, notify
from strata.systemd.address import default_address
from strata.systemd.audit import Denials
from strata.systemd.ending import is_for_good
from strata.systemd.manager import Manager
from strata.systemd.state import UnitStatus
from strata.types import ServiceState as S
from strata.units import names
from strata.units.context import Mode, context

log = logging.getLogger(__name__)
STOP_ATTEMPTS = 3
HEADCOUNT_SECONDS = 0.2


class Reports:
    """Carries systemd's reports to the board."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.operations: Operations | None = None
        self._look: asyncio.Task[None] | None = None

    def unit_changed(self, status: UnitStatus) -> None:
        self.board.unit_changed(status)

    def resync(self) -> None:
        self._look = asyncio.create_task(self.look_at_all())

    async def look_at_all(self) -> None:
        """Ask for every unit; what systemd cannot answer now it will report later."""
        assert self.operations is not None
        for service in tuple(self.board.services.values()):
            try:
                await self.operations.look(service)
            except StrataError as error:
                log.warning("cannot look at %s: %s", service.unit, error.message)


class Headcount:
    """Tells systemd how many services are Healthy: a little later, once for all that have changed by then. Each time,
    PID 1 tells everybody who listens, and they ask it about us."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._soon: asyncio.TimerHandle | None = None

    def service_changed(self, service: Service, before: S) -> None:
        if service.state is not before and self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(HEADCOUNT_SECONDS, self._tell)

    def _tell(self) -> None:
        self._soon = None
        states = [one.state for one in self._board.services.values()]
        notify.mention(f"STATUS={states.count(S.HEALTHY)} of {len(states)} services are Healthy")


class Ending:
    """Whether this process ends for good; decided when it is asked to end."""

    for_good = True


class Served(NamedTuple):
    """The server, which learns on its way out whether that is for good: then its socket goes too."""

    server: Server
    manager: Manager
    ending: Ending

    async def listen(self, sock: socket.socket) -> None:
        """Accept on `sock` (already bound and listening) until `close`."""
        await self.server.listen(sock)

    async def close(self) -> None:
        """Take no more calls, and let running ones end for a while."""
        await self.server.close()
        # As late as can be: a stop may have taken the place of a restart meanwhile. `unasked`, because
        # Restart=on-failure takes an end in good order for a wish: nobody would start us again.
        self.ending.for_good = await is_for_good(self.manager, names.SUPERVISOR, unasked=True)


@contextlib.asynccontextmanager
async def compose(paths: Paths, settings: Settings, ending: Ending) -> AsyncIterator[Served]:
    """The supervisor's server. Leaving the context in good order stops every service, in reverse order; on the way to a
    restart it stops none, and the next supervisor takes over."""
    with _alone(paths):
        events, wishes = Events(), Wishes(_own_directory(paths) / "stopped")
        board = Board(events, wishes)
        reports = Reports(board)
        manager = Manager(default_address(), reports)
        reports.operations = operations = Operations(board, manager)
        try:
            await manager.open()
            version = await manager.version()
            where = context(_mode(), _major(version), paths, settings)
            ours = edition(settings)
            trust, converge, probes = Trust(), Converge(board, operations), Probes(board, operations)
            leases, publication = Leases(board, paths.socket("registry")), Publication(board, paths)
            trust.key_listeners.append(publication.keys_changed)
            reload = Reload(
                *(board, operations, converge, lambda: declarations.declared(paths, where)),
                lambda: pending(paths, ours),
            )
            reload.load()
            board.listeners.append(Headcount(board).service_changed)
            await reports.look_at_all()
            converge.begin()
            rollout = Rollout(board, operations, ours, leases.drop)
            rollout.begin(paths.services_d)
            room = handlers.Room(
                board, operations, converge, reload, rollout, settings.node_id, where.mode, version, time.monotonic()
            )
            gate = Gate(trust, settings.operators)
            if not settings.core.identity:
                publication.withdraw()  # an earlier one may have run here
            async with following(trust, paths.socket("identity"), _patience(board), runs=settings.core.identity):
                yield Served(Server(handlers.METHODS, room, gate, Denials()), manager, ending)
            for part in (rollout, converge, probes, leases, publication):
                await part.close()
            if ending.for_good:
                await _stop_all(board, operations)
                publication.withdraw()
                wishes.forget()
        finally:
            await manager.close()


async def _stop_all(board: Board, operations: Operations) -> None:
    for service in reversed(tuple(board.services.values())):
        for attempt in range(STOP_ATTEMPTS):
            try:
                await operations.take_down(service, _drain(service))
                break
            except StrataError as error:
                log.error("cannot stop %s: %s", service.name, error.message)
                await asyncio.sleep(0.5 * attempt)


def _patience(board: Board) -> float:
    """An identity that runs answers at once, and then no token is refused; one that we are to start cannot."""
    return PATIENCE if any(one.name == IDENTITY and one.state is S.HEALTHY for one in board.services.values()) else 0.0


def _drain(service: Service) -> float:
    """Of ours, as long as it needs: a sandbox room that is killed leaves its sessions behind."""
    return service.manifest.stop_timeout_sec if service.manifest.core else DRAIN_SECONDS


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """Hold the lock of this runtime directory. Raises Conflict when another supervisor does."""
    # A file that nobody else can open: whoever may read a directory can lock it, and would keep us from starting.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(paths.supervisor_lock, flags, 0o600)
    except OSError as error:
        raise Unavailable(f"cannot start: {paths.runtime_dir}: {error.strerror}; `strata-ctl up` makes it") from error
    try:
        _lock(fd, paths.runtime_dir)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, runtime_dir: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"cannot start: another supervisor serves {runtime_dir}; stop it first") from None


def _own_directory(paths: Paths) -> Path:
    """What systemd made for us beside the sockets' directory (RuntimeDirectory=, systemd.exec(5), names several with
    colons between); without one, a directory of our own among the sockets."""
    given = [Path(name) for name in os.environ.get("RUNTIME_DIRECTORY", "").split(":") if name]
    beside = [directory for directory in given if directory != paths.runtime_dir]
    return beside[0] if beside else paths.runtime_dir / "supervisor"


def _mode() -> Mode:
    """The place we were rendered for (supervisor.j2); run by hand, the one whose manager we speak to."""
    told = os.environ.get("STRATA_MODE")
    for mode in get_args(Mode):
        if told == mode:
            return cast(Mode, mode)
    return "system" if os.geteuid() == 0 else "user"


def _major(version: str) -> int:
    found = re.match(r"\d+", version)
    if not found:
        raise Conflict(f"cannot understand systemd's version {version!r}")
    return int(found[0])


def main() -> int:
    """`python -m strata.supervisor.main`."""
    ending = Ending()
    return daemon.run(functools.partial(compose, ending=ending), "supervisor", stays=lambda: not ending.for_good)


if __name__ == "__main__":
    sys.exit(main())

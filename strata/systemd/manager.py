# SPDX-License-Identifier: MIT
"""systemd for an event loop: calls that can be awaited, and a callback for everything that changes.

The blocking work is done by `gateway.py` in a process of its own. Should that process die, a new one is started, and
the owner is told to look at everything again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from strata.errors import BY_CODE, Internal, StrataError, Unavailable
from strata.sockets import frame
from strata.systemd.reports import Answer, Ask, JobDone, Report, UnitChanged, Up
from strata.systemd.state import Job, UnitStatus
from strata.units.rows import Property

log = logging.getLogger(__name__)
Units = Sequence[tuple[str, Sequence[Property]]]
Watched = tuple[str, tuple[str, ...]]
SERVICES: Watched = ("strata-", (".service", ".socket"))
"""The supervisor's units."""

SCOPES: Watched = ("strata-sandbox-", (".scope",))
"""The sandbox room's."""

RESTART_SECONDS = 0.5


class _Asked(NamedTuple):
    """Who waits: for the answer, and for the end of the job that it names."""

    answer: asyncio.Future[Any]
    job: asyncio.Future[Job] | None


class Owner(Protocol):
    """Who hears of changes; called on the event loop, must not block."""

    def unit_changed(self, status: UnitStatus) -> None:
        """A unit of ours looks like this now."""

    def resync(self) -> None:
        """Changes may have been missed: look at every unit again."""


class Manager:
    """One systemd manager, reached through a gateway process."""

    def __init__(self, address: str, owner: Owner, timeout: float = 10.0, watched: Watched = SERVICES) -> None:
        """`timeout` bounds each call, in seconds: a PID 1 that answers later makes the call Unavailable.

        `watched` are the units whose changes the owner hears of: how their names begin, and how they may end.
        """
        self.address, self.timeout = address, timeout
        self._owner, self._watched = owner, watched
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Asked] = {}
        self._jobs: dict[str, asyncio.Future[Job]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._up: asyncio.Future[None] | None = None  # done with the first gateway's being up, or its end
        self._started = asyncio.Event()

    async def open(self) -> None:
        """Start the gateway and wait until systemd has answered it once. Raises Unavailable.

        To load the gateway may take a busy machine long. systemd bounds our start (TimeoutStartSec=): nobody else knows
        how long is too long.
        """
        self._up = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep())
        await self._up
        await self.version()

    async def close(self) -> None:
        """End the gateway."""
        if self._keeper:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper

    async def version(self) -> str:
        """systemd's version string."""
        return str(await self._ask("version"))

    async def look(self, name: str) -> None:
        """Have the owner told what systemd says of a unit now.

        It comes as a report like any other, so that an answer can never overtake, or be overtaken by, a change.
        """
        await self._ask("look", name)

    async def start_transient(self, units: Units) -> None:
        """Create all of `units` in one call and have the first started; how it goes is reported. Raises StrataError."""
        rows = [(name, [tuple(prop) for prop in properties]) for name, properties in units]
        await self._ask("start_transient", rows)

    async def run_transient(self, units: Units) -> Job:
        """As `start_transient`, waiting until the first unit's job has ended: then the unit runs, or its result says
        why not."""
        rows = [(name, [tuple(prop) for prop in properties]) for name, properties in units]
        return await self._job("start_transient", rows)

    async def start(self, name: str) -> None:
        """Have a loaded unit started; how it goes is reported."""
        await self._ask("start", name)

    async def stop(self, name: str) -> Job:
        """Stop a unit and wait for the job: it is done when no process is left."""
        return await self._job("stop", name)

    async def restart(self, name: str) -> None:
        """Have a loaded unit restarted; how it goes is reported."""
        await self._ask("restart", name)

    async def rewrite(self, name: str, text: str) -> None:
        """Have a loaded transient unit say `text` from its next start on, its socket listening all the while.

        Raises Conflict when it is not transient, Unavailable when its file cannot be written.
        """
        await self._ask("rewrite", name, text)

    async def kill_run(self, name: str, invocation: str, signal: int) -> bool:
        """Send a signal to every process of the unit, if that InvocationID is still its run's; whether it was."""
        return bool(await self._ask("kill_run", name, invocation, int(signal)))

    async def reset_failed(self, name: str) -> None:
        """Forget failure, restart count and start-limit window."""
        await self._ask("reset_failed", name)

    async def units(self, pattern: str) -> tuple[str, ...]:
        """Names of the loaded units that match a shell pattern."""
        return tuple(await self._ask("units", pattern))

    async def job_type(self, name: str) -> str:
        """What systemd is about to do with a unit (`restart`, `stop` …); "" for nothing."""
        return str(await self._ask("job_type", name))

    async def binding(self, name: str) -> str:
        """Where a loaded socket unit listens, and the mode of its file: `/run/x.sock 0666`."""
        return str(await self._ask("binding", name))

    # --- the gateway

    async def _job(self, operation: str, *arguments: Any) -> Job:
        job: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        path = await self._ask(operation, *arguments, job=job)
        try:
            return await job
        finally:
            self._jobs.pop(path, None)

    async def _ask(self, operation: str, *arguments: Any, job: asyncio.Future[Job] | None = None) -> Any:
        number = next(self._numbers)
        asked = _Asked(asyncio.get_running_loop().create_future(), job)
        ask = Ask(number, operation, arguments, time.monotonic() + self.timeout)
        try:
            async with asyncio.timeout(self.timeout):
                await self._started.wait()
                assert self._writer is not None
                self._pending[number] = asked
                self._writer.write(frame.encode(msgspec.msgpack.encode(ask)))
                return await asked.answer
        except TimeoutError as error:
            raise Unavailable(f"cannot {operation}: systemd did not answer within {self.timeout:g} s") from error
        finally:
            self._pending.pop(number, None)

    async def _keep(self) -> None:
        for attempt in itertools.count():
            if attempt:
                log.warning("the gateway to systemd ended; starting a new one")
                await asyncio.sleep(RESTART_SECONDS)
            try:
                await self._run_gateway()
            except (
                Exception
            ):  # no process to be had, or not a word to be understood: every call depends on trying again
                log.exception("cannot keep the gateway to systemd")
            if self._up and not self._up.done():
                self._up.set_exception(Unavailable("cannot reach systemd: its gateway could not be started"))

    async def _run_gateway(self) -> None:
        ours, theirs = socket.socketpair()
        prefix, kinds = self._watched
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "strata.systemd.gateway", self.address, prefix, *kinds),
                    stdin=theirs.fileno(),
                )
            except BaseException:
                ours.close()
                raise
        reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            await self._read(reader)
        finally:
            self._started.clear()
            self._writer.close()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()  # it may be blocked on a systemd that does not answer
            try:
                await process.wait()
            finally:
                self._fail_pending()  # last: who is told may close us

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder = msgspec.msgpack.Decoder(Report)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = frame.payload_size(await reader.readexactly(4))
                self._hear(decoder.decode(await reader.readexactly(size)))

    def _hear(self, report: Report) -> None:
        if isinstance(report, Up):
            self._is_up()
        elif isinstance(report, UnitChanged):
            try:
                self._owner.unit_changed(report.status)
            except StrataError as error:
                log.error("cannot take in a change of %s: %s", report.status.name, error.message)
        elif isinstance(report, JobDone):
            self._job_done(report.job)
        else:
            self._answered(report)

    def _is_up(self) -> None:
        self._started.set()
        if self._up and not self._up.done():
            self._up.set_result(None)
        else:
            self._owner.resync()

    def _answered(self, answer: Answer) -> None:
        asked = self._pending.get(answer.number)
        if asked is None or asked.answer.done():
            return  # its caller gave up waiting
        if answer.code:
            asked.answer.set_exception(BY_CODE.get(answer.code, Internal)(answer.message))
            return
        if asked.job:
            self._jobs[answer.value] = asked.job  # at once: its end may be the very next report
        asked.answer.set_result(answer.value)

    def _job_done(self, job: Job) -> None:
        future = self._jobs.pop(job.path, None)
        if future and not future.done():
            future.set_result(job)

    def _fail_pending(self) -> None:
        waiting = [*(asked.answer for asked in self._pending.values()), *self._jobs.values()]
        self._jobs.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(Unavailable("cannot reach systemd: the connection to it was lost"))

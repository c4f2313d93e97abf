# SPDX-License-Identifier: MIT
"""The stateful shell of a session: commands one after another, each in the state that the one before it left.

A command that ends the shell (exit, exec, kill -9) ends only itself: the next one gets a new shell. A command whose
time is over, or that nobody waits for any more, is killed with all that it started, and the shell is led back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Coroutine
from typing import Any, NamedTuple

from strata.errors import StrataError
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.inotify import Inotify
from strata.sandbox.session import Session, State
from strata.sandbox.shell import recall
from strata.sandbox.shell.gathered import Gathered
from strata.sandbox.shell.outcome import End, Outcome, of_code, of_shell
from strata.sandbox.shell.resident import Resident, in_time
from strata.sandbox.shell.tenancy import Tenancy
from strata.sandbox.shell.turn import Turn

log = logging.getLogger(__name__)

INSIDE = "/run/strata"
MOST_WAITING = 64
"""Commands that wait for their turn in one session."""

TIMED_OUT = "command timeout"  # the predecessor's words (vector 140)


class Command(NamedTuple):
    """What is to be run: for `seconds` at most, from its start and not from its being queued."""

    text: bytes
    seconds: float
    stdin: bytes = b""


class Shell:
    """One session's. Its process is started by the first command."""

    def __init__(
        self, session: Session, inotify: Inotify, store: DescriptorStore, output_max: int, inside: str = INSIDE
    ) -> None:
        """`output_max` bytes of each stream are kept of a command."""
        self._session, self._output_max = session, output_max
        self._tenancy = Tenancy(session, inotify, store, inside)
        self._loop = asyncio.get_running_loop()
        self._turn = Turn(MOST_WAITING)
        self._running = self._closed = False
        self._beginning: asyncio.Task[Resident] | None = None  # of the first shell, before anybody's turn comes
        self._aftermath: asyncio.Task[None] | None = None  # what is to be done before anybody's turn comes

    # --- a part of a session

    @property
    def busy(self) -> bool:
        """Whether something runs that nobody waits for."""
        return self._tenancy.background

    def summary(self) -> dict[str, Any]:
        """As `describe` shows it."""
        current = self._tenancy.current
        state = "none" if current is None else "busy" if self._running else "idle"
        found: dict[str, Any] = {"state": state, "waiting": len(self._turn)}
        return found | ({"cwd": current.directory, "pid": current.pid} if current else {})

    def begin(self) -> None:
        """Start the shell already: a command will come as soon as the session is open."""
        self._beginning = self._loop.create_task(self._tenancy.start())

    def adopt(self) -> None:
        """Take back the shell that outlived the room, and with it what its commands left running. What it was doing
        is ended: nobody waits for that any more."""
        self._tenancy.adopt()
        if self._tenancy.current:
            self._turn.seize()
            self._running = True
            self._after(self._take_back(self._tenancy.current))

    async def leave(self) -> None:
        """Let go of everything; the shell goes on."""
        await self._let_go(ends=False)

    async def close(self) -> None:
        """The session ends; what runs in it is killed by whoever ends it."""
        await self._let_go(ends=True)

    async def _let_go(self, ends: bool) -> None:
        self._closed = True
        for task in (self._beginning, self._aftermath):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, StrataError):
                    await task
        self._tenancy.let_go(ends)

    # --- a command

    async def run(self, command: Command) -> Outcome:
        """Run a command when its turn comes. Raises ResourceExhausted when too many wait, StrataError when there can
        be no shell. Cancelling ends the command as its time-out would."""
        self._session.check_running()  # now, and not only when its turn comes: what is frozen keeps the others waiting
        await self._turn.take()
        self._running = True
        try:
            return await self._run(command)
        finally:
            if self._aftermath and not self._aftermath.done():
                self._aftermath.add_done_callback(self._after_done)
            else:
                # What it left is looked at once it is answered; whoever is next comes after that.
                self._aftermath = None
                self._loop.call_soon(self._settle)

    async def _run(self, command: Command) -> Outcome:
        current, state = await self._ready()
        gathered = Gathered(self._output_max)
        current.slot.begin(gathered)
        started = time.monotonic()
        try:
            end = await self._ended(current, command)
        except asyncio.CancelledError:
            self._aftermath = self._loop.create_task(self._bring_back(current, recall.interrupt(current)))
            raise
        finally:
            current.slot.finish()  # before anything is killed: what the shell says of that is nobody's
            if command.stdin:
                current.done_with_input()
        seconds = time.monotonic() - started
        if end is None:
            self._aftermath = self._loop.create_task(self._bring_back(current, recall.interrupt(current)))
            await asyncio.shield(self._aftermath)
            end = End("timeout", error=TIMED_OUT)
        cpu, peak = current.meter.cpu_ms, current.meter.memory_peak
        return Outcome(end, gathered, seconds, cpu, peak, current.directory, "ended" if current.ended else state)

    async def _ended(self, current: Resident, command: Command) -> End | None:
        """How it ended, or None when its time was over."""
        answer = current.run(command.text, command.stdin)
        if not await in_time(answer, command.seconds):
            return None
        if report := answer.result():
            return of_code(report.code, current.meter.oom_kills if report.code else 0)
        if self._session.state is State.CLOSING:
            return End("cancelled", error="the session was closed")
        ended = current.ended
        assert ended is not None
        return of_shell(ended.exit_code, ended.signal, current.meter.oom_kills, ended.message)

    async def _ready(self) -> tuple[Resident, str]:
        """A shell that waits for a command; and `restarted` when it is not the one that was there."""
        self._session.check_running()
        if beginning := self._beginning:
            self._beginning = None
            return await beginning, ""
        current = self._tenancy.current
        if current and current.ended:
            self._tenancy.bury(current)  # something killed it between two commands
        if self._tenancy.current:
            return self._tenancy.current, ""
        state = "restarted" if self._tenancy.lost else ""
        return await self._tenancy.start(), state

    # --- between commands

    def _settle(self) -> None:
        """A command is over: see what it left, count anew, and let the next one begin."""
        current = None if self._closed else self._tenancy.current
        if current and current.ended:
            self._tenancy.bury(current)
        elif current and not current.alone():
            self._after(self._tenancy.move(current))
            return
        elif current:
            current.meter.rebase()
        self._running = False
        self._turn.give()

    def _after(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this, then settle; the turn is kept until then."""
        self._aftermath = self._loop.create_task(work)
        self._aftermath.add_done_callback(self._after_done)

    def _after_done(self, task: asyncio.Task[None]) -> None:
        self._aftermath = None
        if not task.cancelled() and (error := task.exception()):
            log.error("%s: its shell is of no use any more", self._session.key.label, exc_info=error)
            if self._tenancy.current:
                self._tenancy.current.group.kill()
        self._settle()

    async def _bring_back(self, current: Resident, back: Awaitable[bool]) -> None:
        """Everything the command started is killed; the shell is ready again, or ended."""
        if not await back:
            log.info("%s: its shell does not come back: ending it", self._session.key.label)
            await current.kill()
        current.slot.finish()

    async def _take_back(self, current: Resident) -> None:
        await self._session.thawed()
        await self._bring_back(current, recall.come_back(current))
        if not current.ended:
            await self._tenancy.move(current)

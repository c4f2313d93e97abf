# SPDX-License-Identifier: MIT
"""The stateful shell of a session: commands one after another, each in the state that the one before it left.

A command that ends the shell (exit, exec, kill -9) ends only itself: the next one gets a new shell. What a command
leaves running in the background keeps its cgroup and its pipes, and the shell moves to new ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from strata import durable
from strata.errors import ResourceExhausted
from strata.sandbox.cgroup import Group
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.inotify import Inotify
from strata.sandbox.session import Session
from strata.sandbox.shell import finding, resident
from strata.sandbox.shell.dialect import dialect
from strata.sandbox.shell.gathered import Gathered
from strata.sandbox.shell.outcome import End, Outcome, of_code, of_shell
from strata.sandbox.shell.resident import Resident
from strata.sandbox.shell.slot import Slot

log = logging.getLogger(__name__)

INSIDE = "/run/strata"
MOST_WAITING = 64
"""Commands that wait for their turn in one session."""

TIMED_OUT = "command timeout"  # the predecessor's words (vector 140)


class Command(NamedTuple):
    """What is to be run: `seconds` from its start, not from its being queued."""

    text: bytes
    seconds: float
    stdin: bytes = b""


class Shell:
    """One session's. Started by its first command."""

    def __init__(
        self, session: Session, inotify: Inotify, store: DescriptorStore, output_max: int, inside: str = INSIDE
    ) -> None:
        """`output_max` bytes of each stream are kept of a command. `inside` is where the exchange directory is."""
        self._session, self._inotify, self._store = session, inotify, store
        self._output_max, self._inside = output_max, inside
        self._resident: Resident | None = None
        self._lost = False  # there was a shell, with a state that is gone
        self._settled = True
        self._alone = True
        self._serial = finding.last_serial(session)
        self._left: list[Group] = []  # of background jobs
        self._retired: set[Slot] = set()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._running = False
        self._loop = asyncio.get_running_loop()
        self._recovery: asyncio.Task[None] | None = None

    # --- a part of a session

    @property
    def busy(self) -> bool:
        """Whether something that a command left behind still runs."""
        self._sweep()
        return bool(self._left) or (self._resident is not None and not self._running and not self._resident.alone())

    def summary(self) -> dict[str, Any]:
        """As `describe` shows it."""
        state = "none" if self._resident is None else "busy" if self._running else "idle"
        found: dict[str, Any] = {"state": state, "waiting": self._waiting}
        if self._resident is not None:
            found |= {"cwd": self._resident.directory, "pid": self._resident.pid}
        return found

    def adopt(self) -> None:
        """Take back the shell that outlived the room, and with it what its commands left running."""
        found = finding.adopt(self._session, self._store, self._inside, self._inotify)
        self._left += found.groups
        for slot in found.slots:
            self._retire(slot)
        if found.resident:
            self._resident = found.resident
            self._recovery = asyncio.create_task(self._take_back(found.resident))

    async def _take_back(self, current: Resident) -> None:
        await self._turn.acquire()  # nobody can have asked yet
        self._running = True
        await self._recover(current, current.come_back)

    async def leave(self) -> None:
        """Let go of everything; the shell goes on."""
        await self._let_go()

    async def close(self) -> None:
        """The session ends; what runs in it is killed by whoever ends it."""
        if self._resident:
            finding.forget(self._store, self._session, self._resident)
        await self._let_go()

    async def _let_go(self) -> None:
        if self._recovery:
            self._recovery.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._recovery
        if self._resident:
            self._resident.slot.close(remove=False)
            self._resident.close()
            self._resident = None
        for slot in self._retired:
            slot.close(remove=False)
        self._retired.clear()

    # --- commands

    async def run(self, command: Command) -> Outcome:
        """Run a command when its turn comes. Raises ResourceExhausted when too many wait, StrataError when there can
        be no shell. Cancelling ends the command as its time-out would."""
        if self._waiting >= MOST_WAITING:
            raise ResourceExhausted(f"cannot run: {self._waiting} commands of this session wait; try again later")
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        self._running = True
        try:
            return await self._run(command)
        finally:
            if self._recovery is None:
                self._release()

    def _release(self) -> None:
        self._running = False
        # What it left is looked at once it is answered; whoever is next comes after that.
        self._loop.call_soon(self._settle)
        self._turn.release()

    async def _run(self, command: Command) -> Outcome:
        state = "restarted" if self._lost else ""
        current = await self._ready()
        gathered = Gathered(self._output_max)
        current.slot.begin(gathered)
        started = time.monotonic()
        self._settled = False
        try:
            end = await self._ended(current, command)
        except asyncio.CancelledError:
            current.slot.finish()
            self._recovery = asyncio.create_task(self._recover(current, current.interrupt))
            raise
        if end is None:
            current.slot.finish()  # before the kill: what the shell says of that is nobody's
            seconds = time.monotonic() - started
            await self._bring_back(current, current.interrupt)
            end = End("timeout", error=TIMED_OUT)
        else:
            current.slot.finish()
            seconds = time.monotonic() - started
        outcome = Outcome(
            end, gathered, seconds, current.meter.cpu_ms, current.meter.memory_peak, current.directory, state
        )
        if command.stdin:
            current.done_with_input()
        if current.ended:
            self._bury(current)
            outcome = outcome._replace(state="ended")
        return outcome

    async def _ended(self, current: Resident, command: Command) -> End | None:
        """How it ended, or None when its time was over."""
        try:
            async with asyncio.timeout(command.seconds):
                report = await current.run(command.text, command.stdin)
        except TimeoutError:
            return None
        if report is not None:
            return of_code(report.code, current.meter.oom_kills if report.code else 0)
        ended = current.ended
        assert ended is not None
        return of_shell(ended.exit_code, ended.signal, current.meter.oom_kills, ended.message)

    async def _recover(self, current: Resident, back: Callable[[], Awaitable[bool]]) -> None:
        """Nobody waits for the command any more: end it, then let the next one begin."""
        try:
            await self._bring_back(current, back)
            if current.ended:
                self._bury(current)
        finally:
            self._recovery = None
            self._release()

    async def _bring_back(self, current: Resident, back: Callable[[], Awaitable[bool]]) -> None:
        """Everything the command started is killed; the shell is ready again, or ended."""
        if not await back():
            log.info("%s: its shell does not come back: ending it", self._session.key.label)
            await current.kill()
        current.slot.finish()

    # --- the shell itself

    async def _ready(self) -> Resident:
        self._session.check_running()
        if self._resident and self._resident.ended:
            self._bury(self._resident)  # something killed it between two commands
        self._settle()
        if self._resident is None:
            self._resident = await self._start()
            self._lost = False
        elif not self._alone and not self._resident.alone():
            await self._move(self._resident)
        return self._resident

    async def _start(self) -> Resident:
        group, name = self._group()
        spoken = dialect(self._session.record.shell)
        try:
            found = await resident.start(self._session, name, self._inside, group, spoken, self._inotify)
        except BaseException:
            self._left.append(group)
            raise
        self._remember(found)
        finding.keep(self._store, self._session, found)
        return found

    async def _move(self, current: Resident) -> None:
        """Leave cgroup and pipes to what runs in the background."""
        group, _ = self._group()
        slot = Slot(current.place.fd, self._serial, self._inotify)
        old_slot, old_group = current.slot, current.group
        try:
            await current.move(slot, group)
        except BaseException:
            slot.close(remove=True)
            self._left.append(group)
            raise
        self._remember(current)
        self._retire(old_slot)
        self._left.append(old_group)

    def _remember(self, current: Resident) -> None:
        with durable.told(f"remember the shell of {self._session.key.label}"):
            finding.note(self._session, current)

    def _group(self) -> tuple[Group, str]:
        self._serial += 1
        name = f"shell-{self._serial}"
        return self._session.groups.scope.make(name), name

    def _settle(self) -> None:
        """After a command, or before the next if that is sooner: see what it left, and count anew."""
        current = self._resident
        if self._settled or current is None or current.ended:
            return
        self._settled = True
        self._alone = current.alone()
        current.meter.rebase()
        self._sweep()

    def _bury(self, current: Resident) -> None:
        """The shell is gone; what it left running is not."""
        self._lost = True
        self._resident = None
        finding.forget(self._store, self._session, current)
        self._settled = True
        self._retire(current.slot)
        self._left.append(current.group)
        current.close()
        self._sweep()

    def _retire(self, slot: Slot) -> None:
        self._retired.add(slot)
        slot.retire(self._retired.discard)

    def _sweep(self) -> None:
        """Remove the cgroups of background jobs that ended."""
        self._left = [group for group in self._left if not group.remove()]

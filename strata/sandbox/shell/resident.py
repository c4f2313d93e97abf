# SPDX-License-Identifier: MIT
"""One resident shell: a process that is told lines and reports when it is done with each.

Its directory is in the session's exchange: `control` and `report` are pipes that only Strata can open by name, `out-N`
and `err-N` those of its slots, `text` the command it is to run next, `state` what the next room needs to find it.
All pipes are opened both ways by the shell, so none of them breaks while the room is being restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
from typing import NamedTuple

from strata.errors import Unavailable
from strata.sandbox.cgroup import Group
from strata.sandbox.children import Child, Ended
from strata.sandbox.inotify import Inotify
from strata.sandbox.paced import PacedReader
from strata.sandbox.session import Session, SpawnPlan
from strata.sandbox.shell import kernel
from strata.sandbox.shell.dialect import BEGIN, END, INPUT, TEXT, Dialect
from strata.sandbox.shell.exchange import pipe, subdirectory, write
from strata.sandbox.shell.meter import Meter
from strata.sandbox.shell.report import Report, Reports
from strata.sandbox.shell.slot import Slot
from strata.sandbox.unkept import Unkept
from strata.sockets.letting_go import CLOSER

START_SECONDS = 10.0
MOVE_SECONDS = 5.0
_CONTROL, _REPORT = "control", "report"
_READ_BYTES = 65_536


class Place(NamedTuple):
    """The shell's own directory: a descriptor of it, and where it is for those inside."""

    fd: int
    path: str


class Resident:
    """A shell that runs. Owns everything in it; `group` is the cgroup that it and its commands are in."""

    def __init__(self, place: Place, dialect: Dialect, group: Group, child: Child | Unkept, inotify: Inotify) -> None:
        self.place, self.dialect, self.group, self.child = place, dialect, group, child
        self.meter = Meter(group)
        self.errexit = False
        self.directory = ""
        self.pid = 0
        self._pidfd = -1
        self._inotify = inotify
        self._number = secrets.randbelow(10**8)  # not one that a former room still awaits
        self._reports = Reports()
        self._awaited: tuple[int, asyncio.Future[Report | None]] | None = None
        self._loop = asyncio.get_running_loop()
        self._control = pipe(place.fd, _CONTROL, os.O_RDWR)
        self._report = pipe(place.fd, _REPORT, os.O_RDONLY)
        if dialect.forgets:  # then one read gets one line, whatever is in the pipe (O_DIRECT, pipe(2))
            fcntl.fcntl(self._control, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT)
        self._reader = PacedReader(self._report, self._read)
        self._reader.listen(True)
        child.ended.add_done_callback(self._gone)
        self.slot: Slot

    @property
    def ended(self) -> Ended | None:
        """How it ended, or None while it runs."""
        return self.child.ended.result() if self.child.ended.done() else None

    # --- lines

    def run(self, text: bytes, stdin: bytes) -> asyncio.Future[Report | None]:
        """Have a command run; the future is done when it is over, with None when the shell is gone."""
        number = self._next()
        write(self.place.fd, TEXT, text)
        source = "/dev/null"
        if stdin:
            write(self.place.fd, INPUT, stdin)
            source = f"{self.place.path}/{INPUT}"
        return self._tell(self.dialect.run(self.place.path, number, source, self.errexit), number)

    async def move(self, slot: Slot, group: Group) -> None:
        """Write to other pipes and be in another cgroup from now on; the old ones stay the caller's. Raises Unavailable
        when the shell does not do so."""
        number = self._next()
        asked = self._tell(self.dialect.move(self.place.path, number, *slot.names), number)
        if not await in_time(asked, MOVE_SECONDS) or asked.result() is None:
            raise Unavailable("cannot use the session's shell: it does not answer; try again")
        group.join(self.pid)
        self.slot, self.group = slot, group
        self.meter.close()
        self.meter = Meter(group)
        self._take_writers()

    def ask_back(self) -> asyncio.Future[Report | None]:
        """Have it say when it waits for a line; None when it is gone."""
        number = self._next()
        return self._tell(self.dialect.back(self.place.path, number), number)

    def at_its_prompt(self) -> bool:
        """While it runs a command it hides our pipes (`Dialect.run`); where that may not be seen, it is taken to."""
        try:
            there = os.stat(f"/proc/{self.pid}/fd/{self.dialect.numbers.report}")
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(self._report))

    def signal(self, number: int) -> None:
        """Send it one."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    async def kill(self) -> None:
        """End it and everything in its cgroup."""
        self.group.kill()
        await self.child.ended

    def done_with_input(self) -> None:
        """Whoever has it open may still read it."""
        if self.place.fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(INPUT, dir_fd=self.place.fd)

    def alone(self) -> bool:
        """Whether nothing but the shell is in its cgroup."""
        return self.meter.holds_only(self.pid)

    def close(self) -> None:
        """Let go of it; it goes on, and who waits for it waits no more. The slot stays the caller's."""
        self._answer(None)
        self.child.ended.remove_done_callback(self._gone)
        self.child.close()
        self._reader.listen(False)
        self.meter.close()
        for fd in (self._control, self._report, self._pidfd, self.place.fd):
            if fd >= 0:
                os.close(fd)
        self.place = self.place._replace(fd=-1)

    # ---

    async def settle(self, slot: Slot) -> None:
        """A shell that was just started: make it ready. Raises Unavailable."""
        self.slot = slot
        number = self._next()
        answer = self._tell(self.dialect.first(self.place.path, number), number)
        if not await in_time(answer, START_SECONDS) or answer.result() is None:
            ended = self.ended
            why = (ended.message or "it ended at once") if ended else "it does not answer"
            raise Unavailable(f"cannot start a shell in the session: {why}")
        self.known_as(next((pid for pid in self.group.pids() if pid), 0))

    def known_as(self, pid: int) -> None:
        """Its process id, as this process sees it. Raises Unavailable when it is gone."""
        try:
            self._pidfd = os.pidfd_open(pid)
        except (OSError, ValueError) as error:
            raise Unavailable("cannot start a shell in the session: it ended at once") from error
        self.pid = pid

    def taken_back(self, pid: int, slot: Slot) -> None:
        """It is one that a former room started. Raises Unavailable when it is gone."""
        self.known_as(pid)
        self.slot = slot
        self._take_writers()

    def _take_writers(self) -> None:
        """The order of writes is exact where the mode of the shell's own ends can be set (ptrace(2) access).

        Those inside may have put anything in their place, such as a socket whose last close waits for them."""
        taken: list[int] = []
        try:
            for number in (self.dialect.numbers.out, self.dialect.numbers.err):
                taken.append(kernel.pidfd_getfd(self._pidfd, number))
            if self.slot.keep_writers((taken[0], taken[1])):
                taken = []
        except OSError:
            return
        finally:
            CLOSER.close(taken)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _tell(self, line: str, number: int) -> asyncio.Future[Report | None]:
        answer: asyncio.Future[Report | None] = self._loop.create_future()
        self._awaited = (number, answer)
        if self.ended:
            answer.set_result(None)
        else:
            with contextlib.suppress(BlockingIOError):  # full: it reads nothing, and the caller's time-out ends this
                for piece in line.encode().splitlines(keepends=True) if self.dialect.forgets else (line.encode(),):
                    os.write(self._control, piece)
        return answer

    def _read(self) -> int:
        """A command can find the pipe in its shell, and write what it likes; how many bytes."""
        try:
            data = os.read(self._report, _READ_BYTES)
        except BlockingIOError:
            return 0
        for report in self._reports.feed(data):
            if self._awaited and report.number == self._awaited[0]:
                self.errexit, self.directory = report.errexit, report.directory
                self._answer(report)
        return len(data)

    def _gone(self, _: asyncio.Future[Ended]) -> None:
        self._answer(None)

    def _answer(self, report: Report | None) -> None:
        if self._awaited:
            _, answer = self._awaited
            self._awaited = None
            if not answer.done():
                answer.set_result(report)


async def start(session: Session, name: str, inside: str, group: Group, dialect: Dialect, inotify: Inotify) -> Resident:
    """A shell in a directory `name` of its own. Raises StrataError."""
    session.check_running()
    os.mkdir(name, 0o711, dir_fd=session.exchange_fd)
    fd = subdirectory(session.exchange_fd, name)
    place = Place(fd, f"{inside}/{name}")
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, fd)
        write(fd, BEGIN, dialect.begin.encode())
        write(fd, END, dialect.end.encode())
        slot = Slot(fd, 1, inotify)
        undo.callback(slot.close, remove=True)
        undo.callback(group.kill)  # it may be there, though nobody was told of it
        child = await _spawn(session, place, slot, group, dialect)
        undo.pop_all()
    found = Resident(place, dialect, group, child, inotify)
    try:
        await found.settle(slot)
    except BaseException:
        group.kill()
        slot.close(remove=True)
        child.abandon()
        found.close()
        raise
    return found


async def _spawn(session: Session, place: Place, slot: Slot, group: Group, dialect: Dialect) -> Child | Unkept:
    plan = SpawnPlan(
        (session.record.shell, *dialect.arguments), session.environment(), numbers=(0, 1, 2, *dialect.numbers)
    )
    with contextlib.ExitStack() as ours:

        def opened(fd: int) -> int:
            os.set_blocking(fd, True)  # for the shell
            ours.callback(os.close, fd)
            return fd

        for name in (_CONTROL, _REPORT):
            os.mkfifo(name, 0o600, dir_fd=place.fd)
        control, report = (opened(pipe(place.fd, name, os.O_RDWR)) for name in (_CONTROL, _REPORT))
        null = opened(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
        return await session.spawn_unkept(plan, [control, null, null, *slot.writers(), report], group)


async def in_time(answer: asyncio.Future[Report | None], seconds: float) -> bool:
    """Whether it is there within so many seconds, or by the time that a busy event loop gets to look."""
    await asyncio.wait((answer,), timeout=seconds)
    return answer.done()

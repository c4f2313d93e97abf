# SPDX-License-Identifier: MIT
"""Leading a shell back to its prompt, without what it was doing.

Its state is lost when it has to be ended instead. So it is not the clock alone that decides: on a busy machine a shell
is given time for as long as the kernel says that it, or those it waits for, did not get to run.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from strata import processes
from strata.sandbox.shell.dialect import UNWIND
from strata.sandbox.shell.resident import START_SECONDS, Resident, in_time

LOOK_SECONDS = 0.1
HELD_UP_SECONDS = 5.0
OWN_SECONDS = 0.25
"""Of processor time: a shell that had it and did not come back does not want to."""

_ATTEMPTS: tuple[tuple[tuple[int, ...], float], ...] = (
    ((signal.SIGCONT, UNWIND), 0.03),
    ((signal.SIGCONT, signal.SIGINT), 0.05),  # blocked in a system call of its own, such as opening a FIFO
    ((UNWIND, signal.SIGINT), 0.07),
    ((UNWIND, signal.SIGINT), 0.10),
)
"""Signals that lead the shell back, and seconds to wait for it: 0.25 in all, and longer while it is held up."""


async def interrupt(shell: Resident) -> bool:
    """Kill everything in its cgroup but the shell, and have it drop what it does; whether it is ready again."""
    before, dying = processes.stat(shell.pid), set[int]()
    answer = None
    for signals, seconds in _ATTEMPTS:
        for one in signals:  # before the kill, so that the next command of a list is not begun
            shell.signal(one)
        with contextlib.suppress(FileNotFoundError):  # the session is being closed
            dying |= shell.group.kill_but(shell.pid)
        answer = shell.ask_back()
        if await in_time(answer, seconds):
            return answer.result() is not None
    assert answer
    until = asyncio.get_running_loop().time() + HELD_UP_SECONDS
    while asyncio.get_running_loop().time() < until and _held_up(shell, before, dying):
        if await in_time(answer, LOOK_SECONDS):
            break
    return answer.done() and answer.result() is not None


async def come_back(shell: Resident) -> bool:
    """One that a former room left: whether it is ready, as soon as it says so when it is idle, else once what it does
    was ended."""
    answer = shell.ask_back()
    until = asyncio.get_running_loop().time() + START_SECONDS
    while not await in_time(answer, LOOK_SECONDS):
        if asyncio.get_running_loop().time() > until or not shell.at_its_prompt():
            return await interrupt(shell)
    return answer.result() is not None


def _held_up(shell: Resident, before: processes.Stat | None, dying: set[int]) -> bool:
    """Whether it could not have come back yet: its machine is busy, or those that it waits for are not dead yet."""
    now = processes.stat(shell.pid)
    if before is None or now is None or now.start != before.start:
        return False
    if shell.at_its_prompt() or not dying.isdisjoint(shell.group.pids()):
        return True
    return now.state in "RD" and now.cpu_seconds - before.cpu_seconds < OWN_SECONDS

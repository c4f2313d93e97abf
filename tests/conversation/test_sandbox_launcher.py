# SPDX-License-Identifier: MIT
"""The room and its launcher: whatever happens to a caller or to the launcher, the next caller is served."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import leaks
import pytest

from strata.errors import InvalidArgument, Unavailable
from strata.sandbox import interpreter, launching
from strata.sandbox.launching import Forked, Launcher

DEADLINE = 20.0
NOTHING = {"work": "", "arguments": {}, "keepers": [], "inside": False}
LONG = "x" * 3_000_000  # more than any socket holds


class Pair:
    """A launcher, and its process."""

    def __init__(self, launcher: Launcher, pid: int) -> None:
        self.launcher, self.pid = launcher, pid

    def tell(self, number: int) -> None:
        os.kill(self.pid, number)

    async def works(self) -> None:
        """It makes a process, which answers over the descriptor that it was given."""
        reply_r, reply_w = os.pipe()
        try:
            forked = await self.launcher.fork("work", NOTHING, [reply_w])
        finally:
            os.close(reply_w)
        assert b"error" in await answer(reply_r, forked)


async def answer(reply: int, forked: Forked) -> bytes:
    """What a worker says; takes both over."""
    try:
        with open(reply, "rb") as pipe:
            return await asyncio.to_thread(pipe.read)
    finally:
        launching.kill(forked)


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[Pair]:
    before = leaks.holdings().children
    launcher = Launcher(b"no filter")
    await launcher.start()
    (pid,) = leaks.holdings().children - before
    try:
        yield Pair(launcher, pid)
    finally:
        await launcher.close()


def with_launcher(body: Callable[[Pair], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE), started() as pair:
            await body(pair)

    asyncio.run(main())


def test_a_caller_who_hangs_up_in_the_middle_of_a_long_request_disturbs_nobody() -> None:
    async def body(pair: Pair) -> None:
        pair.tell(signal.SIGSTOP)
        task = asyncio.create_task(pair.launcher.fork("work", NOTHING | {"arguments": {"long": LONG}}, []))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        pair.tell(signal.SIGCONT)
        await pair.works()

    with_launcher(body)


def test_long_requests_arrive_whole_while_children_end() -> None:
    async def body(pair: Pair) -> None:
        async def one(size: int) -> None:
            launching.kill(await pair.launcher.fork("work", NOTHING | {"arguments": {"long": "x" * size}}, []))

        await asyncio.gather(*(one(size) for _ in range(40) for size in (1, 1_000_000)))
        os.kill(pair.pid, 0)  # it is still the same

    with_launcher(body)


def test_a_request_takes_the_files_that_were_meant_though_their_numbers_are_others_by_then() -> None:
    async def body(pair: Pair) -> None:
        pair.tell(signal.SIGSTOP)
        long = asyncio.create_task(pair.launcher.fork("work", NOTHING | {"arguments": {"long": LONG}}, []))
        await asyncio.sleep(0)
        reply_r, reply_w = os.pipe()
        short = asyncio.create_task(pair.launcher.fork("work", NOTHING, [reply_w]))
        await asyncio.sleep(0)
        other = os.open(os.devnull, os.O_RDWR)
        os.dup2(other, reply_w)
        pair.tell(signal.SIGCONT)
        launching.kill(await long)
        assert b"error" in await answer(reply_r, await short)
        os.close(other)
        os.close(reply_w)

    with_launcher(body)


def test_when_the_launcher_dies_who_waits_is_told_and_the_next_is_served() -> None:
    async def body(pair: Pair) -> None:
        pair.tell(signal.SIGSTOP)
        waiting = asyncio.create_task(pair.launcher.fork("work", NOTHING, []))
        await asyncio.sleep(0)
        pair.tell(signal.SIGKILL)
        with pytest.raises(Unavailable, match="the launcher ended; try again"):
            await waiting
        await pair.works()

    with_launcher(body)


def test_a_launcher_that_hangs_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pair: Pair) -> None:
        monkeypatch.setattr(launching, "FORK_SECONDS", 0.2)
        pair.tell(signal.SIGSTOP)
        with pytest.raises(Unavailable, match="did not answer within"):
            await pair.launcher.fork("work", NOTHING, [])
        monkeypatch.undo()
        await pair.works()

    with_launcher(body)


def test_a_launcher_that_cannot_be_started_now_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(pair: Pair) -> None:
        start, failed = asyncio.create_subprocess_exec, asyncio.Event()

        async def refuse(*_: object, **__: object) -> None:
            failed.set()
            raise BlockingIOError(11, "no process to be had")

        monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
        pair.tell(signal.SIGKILL)
        await failed.wait()
        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        await pair.works()

    with_launcher(body)


def test_a_plan_that_is_too_long_is_refused_and_says_what_to_do() -> None:
    async def body(pair: Pair) -> None:
        with pytest.raises(InvalidArgument, match="shorten arguments or environment"):
            await pair.launcher.fork("work", NOTHING | {"arguments": {"long": LONG * 3}}, [])
        await pair.works()

    with_launcher(body)


def test_an_answer_is_for_who_asked() -> None:
    async def body(pair: Pair) -> None:
        async def one() -> None:
            reply_r, reply_w = os.pipe()
            forked = await pair.launcher.fork("work", NOTHING, [reply_w])
            os.close(reply_w)
            said = json.loads(await answer(reply_r, forked))
            assert "error" in said

        await asyncio.gather(*(one() for _ in range(50)))

    with_launcher(body)


def test_a_launcher_whose_python_commands_could_change_runs_from_a_sealed_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2019-5736: in user mode, a Python in the user's home is a file of every command's."""
    monkeypatch.setattr(interpreter, "is_within_reach", lambda path: True)

    async def body(pair: Pair) -> None:
        await pair.works()
        program = f"/proc/{pair.pid}/exe"
        assert os.readlink(program).startswith("/memfd:strata-python")
        for change in (lambda: os.truncate(program, 0), lambda: os.open(program, os.O_RDWR)):
            with pytest.raises(OSError, match=r"busy|not permitted"):
                change()

    with_launcher(body)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_only_a_users_own_python_is_within_reach_of_his_commands() -> None:
    """Also one that he may not write to: he may change that. Root's commands are other users outside."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as top:
        os.chmod(top, 0o755)
        answers = {}
        for owner, euid in ((0, 0), (65534, 0), (0, 65534), (65534, 65534)):
            own = Path(top, f"{owner}-{euid}")
            own.touch(mode=0o555)
            os.chown(own, owner, owner)
            os.seteuid(euid)
            try:
                answers[owner, euid] = interpreter.is_within_reach(str(own))
            finally:
                os.seteuid(0)
    assert [pair for pair, answer in answers.items() if answer] == [(65534, 65534)]


def test_a_command_for_a_session_that_never_opens_is_not_started() -> None:
    """It has come early, and waits for the session's first process."""

    async def body(pair: Pair) -> None:
        ours, theirs = socket.socketpair()
        status_r, status_w = os.pipe()
        with theirs:
            plan = {"keepers": [], "group": [], "terminal": False, "unkept": False, "network": "isolated"}
            forked = await pair.launcher.fork("spawn", plan, [theirs.fileno(), status_w])
        os.close(status_w)
        ours.close()
        assert json.loads(await answer(status_r, forked))["errno"] == errno.ESRCH
        await pair.works()

    with_launcher(body)

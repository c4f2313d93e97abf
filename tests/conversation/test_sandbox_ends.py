# SPDX-License-Identifier: MIT
"""How a process ended, told to one who holds a pidfd of it and is not the one who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest

from strata.sandbox.children import Ended
from strata.sandbox.launcher import ends, forking, joining
from strata.sandbox.unkept import UNTOLD, Unkept

TOLD = ends.are_told()
ENDS = pytest.mark.parametrize(("script", "status"), [("exit 3", 3 << 8), ("exit 0", 0), ("kill -9 $$", 9)])


@contextlib.contextmanager
def started(script: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process, which nobody waits for yet, and a pidfd."""
    process = subprocess.Popen(["/bin/sh", "-c", script])
    pidfd = os.pidfd_open(process.pid)
    try:
        yield process, pidfd
    finally:
        os.close(pidfd)
        process.kill()
        process.wait()


def over(pidfd: int) -> None:
    """Wait until it has ended, as a room does."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000)


@ENDS
def test_an_end_is_told_while_nobody_has_waited(script: str, status: int) -> None:
    """On every kernel, and though its parent is stopped."""
    with started(script) as (process, pidfd):
        over(pidfd)
        assert ends.status(process.pid, pidfd) == status


@ENDS
def test_an_end_is_told_after_somebody_else_has_waited(script: str, status: int) -> None:
    """Or it is told that this kernel does not."""
    with started(script) as (process, pidfd):
        process.wait()
        assert ends.status(process.pid, pidfd) == (status if TOLD else None)


@pytest.mark.skipif(not TOLD, reason="this kernel tells no ends: Linux 6.15 does")
def test_an_end_is_told_at_once_though_its_parent_waits_for_none() -> None:
    """SIGCHLD ignored: the process is gone about when its end shows, and may be seen in between."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        for _ in range(200):
            process = subprocess.Popen(["/bin/sh", "-c", "read _; exit 7"], stdin=subprocess.PIPE)
            pidfd = os.pidfd_open(process.pid)
            assert process.stdin
            process.stdin.close()
            over(pidfd)
            assert ends.status(process.pid, pidfd) == 7 << 8
            os.close(pidfd)
            process.wait()
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.skipif(not TOLD, reason="this kernel tells no ends: Linux 6.15 does")
def test_an_end_is_told_that_somebody_waits_for_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    with started("exit 3") as (process, pidfd):
        over(pidfd)
        read = ends._of_zombie

        def waited_for(pid: int) -> int | None:
            found = read(pid)
            process.wait()
            return found

        monkeypatch.setattr(ends, "_of_zombie", waited_for)
        assert ends.status(process.pid, pidfd) == 3 << 8


def test_a_process_of_the_same_number_tells_nothing() -> None:
    """The one that the pidfd is of has gone, and its line in /proc is another's."""
    with started("exit 3") as (process, pidfd), started("exit 5") as (other, other_pidfd):
        process.wait()
        over(other_pidfd)
        assert ends.status(other.pid, pidfd) == (3 << 8 if TOLD else None)


def test_one_that_runs_has_no_end() -> None:
    with started("exec sleep 100") as (process, pidfd):
        assert ends.status(process.pid, pidfd) is None


# --- a child of one's parent

BESIDE = """
import os
from strata.sandbox.launcher import forking
pid, pidfd = forking.fork_beside(None)
if pid == 0:
    os._exit(9)
print(pid, os.get_inheritable(pidfd))
"""


def test_a_process_can_give_its_parent_a_child() -> None:
    made = subprocess.run([sys.executable, "-c", BESIDE], capture_output=True, text=True, check=True)
    pid, inheritable = made.stdout.split()
    assert inheritable == "False"
    assert os.waitpid(int(pid), 0) == (int(pid), 9 << 8)


def test_where_no_such_child_is_made_it_is_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As below a filter that knows no clone3(2)."""

    def refuse(_: int | None) -> tuple[int, int]:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(forking, "fork_beside", refuse)
    pid, born, pidfd = joining.fork_beside(None)
    if pid == 0:
        os._exit(9)
    assert (born, pidfd) == (False, None)
    assert os.waitpid(pid, 0) == (pid, 9 << 8)


# --- a command without a keeper


def with_command(script: str, body: Callable[[Unkept, socket.socket], Awaitable[None]]) -> None:
    """Run a test's body with a command, and the socket through which it would say why it never ran."""

    async def main() -> None:
        with started(script) as (process, pidfd):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            command = Unkept(process.pid, os.dup(pidfd), ours.detach())
            try:
                async with asyncio.timeout(10):
                    await body(command, theirs)
            finally:
                command.close()
                theirs.close()

    asyncio.run(main())


@pytest.mark.parametrize(("script", "code", "number"), [("exit 3", 3, None), ("kill -11 $$", None, 11)])
def test_the_end_of_a_command_is_its_own(script: str, code: int | None, number: int | None) -> None:
    async def body(command: Unkept, _: socket.socket) -> None:
        assert await command.ended == Ended(code, number, 0.0, 0)

    with_command(script, body)


def test_one_that_never_ran_has_said_why() -> None:
    async def body(command: Unkept, its: socket.socket) -> None:
        its.send(b'{"stage": "exec", "errno": 2, "message": "No such file or directory"}')
        os.kill(command.pid, signal.SIGKILL)
        ended = await command.ended
        assert (ended.stage, ended.errno, ended.message) == ("exec", 2, "No such file or directory")

    with_command("exec sleep 100", body)


def test_an_end_that_nobody_tells_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(command: Unkept, _: socket.socket) -> None:
        ended = await command.ended
        assert (ended.exit_code, ended.signal, ended.message) == (None, None, UNTOLD)

    monkeypatch.setattr(ends, "status", lambda pid, pidfd: None)
    with_command("exit 3", body)


def test_who_lets_go_of_a_command_leaves_it_running() -> None:
    async def body(command: Unkept, _: socket.socket) -> None:
        command.close()
        assert not command.ended.done()
        os.kill(command.pid, 0)

    with_command("exec sleep 100", body)


def test_a_command_that_is_abandoned_is_killed() -> None:
    async def body(command: Unkept, _: socket.socket) -> None:
        pidfd = os.pidfd_open(command.pid)
        command.abandon()
        await asyncio.to_thread(over, pidfd)
        assert ends.status(command.pid, pidfd) == signal.SIGKILL
        os.close(pidfd)

    with_command("exec sleep 100", body)

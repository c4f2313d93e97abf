# SPDX-License-Identifier: MIT
"""The launcher as the room sees it: requests that can be awaited, children whose end is told, work that is answered.

Should the launcher die, a new one is started; what it had forked goes on, because all that matters about a fork comes
over descriptors of its own.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from strata.errors import BY_CODE, Internal, InvalidArgument, StrataError, Unavailable
from strata.sandbox.launcher import channel
from strata.sandbox.lines import Lines

log = logging.getLogger(__name__)
RESTART_SECONDS = 0.2
_READ_BYTES = 65_536


class Forked(NamedTuple):
    """A process that the launcher made. The holder of `pidfd` closes it."""

    pid: int
    pidfd: int


class Launcher:
    """One launcher process, kept alive."""

    def __init__(self, program: bytes) -> None:
        """`program` is the seccomp filter of everything that runs in a sandbox."""
        self._program = program
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Forked]] = {}
        self._sock: socket.socket | None = None
        self._turn = asyncio.Lock()
        self._started = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._received = b""
        self._descriptors: list[int] = []

    async def start(self) -> None:
        """Start the process; it serves as soon as it is asked."""
        self._keeper = asyncio.create_task(self._keep())
        await self._started.wait()

    async def close(self) -> None:
        """End the process. What it forked goes on."""
        if self._keeper:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper

    async def fork(self, do: str, plan: Mapping[str, Any], fds: Sequence[int]) -> Forked:
        """Have a process made that does `do`. `fds` stay the caller's. Raises Unavailable."""
        number = next(self._numbers)
        future: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            await self._started.wait()
            async with self._turn:
                await self._send(channel.encode({"id": number, "do": do, **plan}), fds)
            return await future
        except OSError as error:
            raise Unavailable(f"cannot reach the launcher: {error.strerror or error}; try again") from error
        finally:
            self._pending.pop(number, None)

    # --- the process

    async def _keep(self) -> None:
        for attempt in itertools.count():
            if attempt:
                log.warning("the launcher ended; starting a new one")
                await asyncio.sleep(RESTART_SECONDS)
            await self._run()

    async def _run(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "strata.sandbox.launcher.main", stdin=theirs.fileno()
            )
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._sock = ours
        try:
            await self._hand_over_program()
            loop.add_reader(ours, self._hear, ended)
            self._started.set()
            await ended.wait()
        finally:
            self._started.clear()
            loop.remove_reader(ours)
            ours.close()
            self._fail_pending()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await process.wait()

    async def _hand_over_program(self) -> None:
        memory = os.memfd_create("seccomp")
        try:
            os.write(memory, self._program)
            os.lseek(memory, 0, os.SEEK_SET)
            await self._send(channel.encode({"size": len(self._program)}), [memory])
        finally:
            os.close(memory)

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        assert self._sock is not None
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        while data:
            try:
                sent = self._sock.sendmsg([data], rights)
            except BlockingIOError:
                await _writable(self._sock)
                continue
            data, rights = data[sent:], []

    def _hear(self, ended: asyncio.Event) -> None:
        assert self._sock is not None
        try:
            data, ancillary, _, _ = self._sock.recvmsg(_READ_BYTES, socket.CMSG_SPACE(64 * 4), socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        for _, _, packed in ancillary:
            self._descriptors += array.array("i", packed)
        if not data:
            ended.set()
            return
        self._received += data
        while len(self._received) >= 4:
            size = int.from_bytes(self._received[:4], "big")
            if len(self._received) < 4 + size:
                return
            message = json.loads(self._received[4 : 4 + size])
            self._received = self._received[4 + size :]
            self._answered(message)

    def _answered(self, message: dict[str, Any]) -> None:
        # A descriptor never arrives later than the bytes it was sent with (unix(7)), so the first one is this answer's.
        pidfd = self._descriptors.pop(0) if "pid" in message else -1
        future = self._pending.get(message["id"])
        if future is None or future.done():
            if pidfd >= 0:
                kill(Forked(message["pid"], pidfd))  # whoever wanted it has gone
        elif pidfd < 0:
            future.set_exception(Unavailable(str(message["error"])))
        else:
            future.set_result(Forked(message["pid"], pidfd))

    def _fail_pending(self) -> None:
        self._received = b""
        for fd in self._descriptors:
            os.close(fd)
        self._descriptors = []
        for future in self._pending.values():
            if not future.done():
                future.set_exception(Unavailable("cannot make a process: the launcher ended; try again"))


def kill(process: Forked) -> None:
    """SIGKILL, if it still runs, and let go of it."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
    os.close(process.pidfd)


async def work(launcher: Launcher, plan: Mapping[str, Any], fds: Sequence[int]) -> dict[str, Any]:
    """Run one function of the launcher's WORKS table and wait for its result. Raises StrataError.

    `plan` has work, arguments, keepers and inside. Cancelling kills the worker.
    """
    result: dict[str, Any] = {}
    async for message in _answers(launcher, plan, fds):
        result = message.get("result", result)
    return result


async def stream(launcher: Launcher, plan: Mapping[str, Any], fds: Sequence[int]) -> AsyncIterator[dict[str, Any]]:
    """As `work`, for a function that yields: each of its items."""
    async with contextlib.aclosing(_answers(launcher, plan, fds)) as answers:
        async for message in answers:
            if "item" in message:
                yield message["item"]


async def _answers(
    launcher: Launcher, plan: Mapping[str, Any], fds: Sequence[int]
) -> AsyncGenerator[dict[str, Any], None]:
    reply_r, reply_w = os.pipe2(os.O_CLOEXEC)
    try:
        process = await launcher.fork("work", plan, [reply_w, *fds])
    except BaseException:
        os.close(reply_r)
        raise
    finally:
        os.close(reply_w)
    lines = Lines(reply_r)
    finished = False
    try:
        async for line in lines:
            message = json.loads(line)
            if "error" in message:
                raise _error(message["error"])
            finished = "result" in message
            yield message
        if not finished:
            raise Internal("cannot finish: the worker ended without an answer; the journal has the details")
    finally:
        lines.close()
        kill(process)


def _error(said: dict[str, Any]) -> StrataError:
    """A worker's error. Code 0 is the system's: what the caller asked for does not go on those files."""
    kind = BY_CODE.get(said["code"], InvalidArgument if said["code"] == 0 else Internal)
    error = kind(str(said["message"]))
    error.details = dict(said["details"])
    return error


async def _writable(sock: socket.socket) -> None:
    loop, writable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(sock, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(sock)

# SPDX-License-Identifier: MIT
"""The launcher as the room sees it: requests that can be awaited, and children whose end is told.

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
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from strata.errors import InvalidArgument, Unavailable
from strata.sandbox import interpreter
from strata.sandbox.launcher import channel
from strata.sandbox.outgoing import Outgoing
from strata.sandbox.plan import reading
from strata.sockets.letting_go import CLOSER

log = logging.getLogger(__name__)
RESTART_SECONDS = 0.2
FORK_SECONDS = 20.0
"""It answers in milliseconds; one that is so late hangs."""

_READ_BYTES = 65_536
_BOUND = {"LD_BIND_NOW": "1"}
"""So that each symbol is looked up once and not by every fork anew, into pages of its own (ld.so(8))."""


class Forked(NamedTuple):
    """A process that the launcher made. The holder of `pidfd` closes it."""

    pid: int
    pidfd: int


class _Request(NamedTuple):
    """What was asked of the launcher: its `parcel` is kept until it has answered, also when nobody waits any more."""

    forked: asyncio.Future[Forked]
    parcel: socket.socket

    def let_go(self) -> None:
        """By a thread: nobody else may have what is in the parcel any more."""
        CLOSER.close([self.parcel.detach()])


class Launcher:
    """One launcher process, kept alive."""

    def __init__(self, program: bytes) -> None:
        """`program` is the seccomp filter of everything that runs in a sandbox."""
        self._program = program
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Request] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._out: Outgoing | None = None
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
        """Have a process made that does `do`. `fds` stay the caller's, who may close them meanwhile. Raises
        Unavailable; InvalidArgument for a plan that is too long."""
        number = next(self._numbers)
        data = _encoded({"id": number, "do": do, **plan})
        try:
            parcel = channel.parcel(fds)  # now: their numbers may mean other files by the time they are sent
            async with asyncio.timeout(FORK_SECONDS):
                return await self._ask(number, data, parcel)
        except TimeoutError as error:
            self._kill()  # one that hangs would go on hanging
            said = f"cannot make a process: the launcher did not answer within {FORK_SECONDS:g} s; try again"
            raise Unavailable(said) from error
        except OSError as error:
            raise Unavailable(f"cannot make a process: {error.strerror or error}; try again") from error

    async def _ask(self, number: int, data: bytes, parcel: socket.socket) -> Forked:
        try:
            await self._started.wait()
        except BaseException:
            parcel.close()
            raise
        assert self._out is not None
        request = self._pending[number] = _Request(asyncio.get_running_loop().create_future(), parcel)
        self._out.send(data, [parcel.fileno()])
        return await request.forked

    # --- the process

    async def _keep(self) -> None:
        for attempt in itertools.count():
            if attempt:
                log.warning("the launcher ended; starting a new one")
                await asyncio.sleep(RESTART_SECONDS)
            try:
                await self._run()
            except Exception:  # no process or no descriptor to be had now: every sandbox depends on trying again
                log.exception("cannot keep the launcher")

    async def _run(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, interpreter.command("-P", "-m", "strata.sandbox.launcher.main") as command:
            ours.setblocking(False)
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=theirs.fileno(),
                    env=os.environ | _BOUND,
                )
            try:
                await self._talk(ours)
            finally:
                self._kill()
                self._fail_pending()
                await self._process.wait()

    async def _talk(self, sock: socket.socket) -> None:
        """Until it hangs up."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self._out = Outgoing(sock)
        loop.add_reader(sock, self._hear, sock, ended)
        try:
            with reading(self._program) as memory:  # there is room for the first message
                self._out.send(channel.encode({"size": len(self._program)}), [memory])
            self._started.set()
            await ended.wait()
        finally:
            loop.remove_reader(sock)
            self._out.close()

    def _kill(self) -> None:
        self._started.clear()
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _hear(self, sock: socket.socket, ended: asyncio.Event) -> None:
        try:
            data, ancillary, _, _ = sock.recvmsg(_READ_BYTES, socket.CMSG_SPACE(64 * 4), socket.MSG_CMSG_CLOEXEC)
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
        request = self._pending.pop(message["id"], None)
        forked, reason = self._forked(message)
        if request is None or request.forked.done():
            if request:
                request.let_go()
            if forked:
                kill(forked)  # whoever wanted it has gone
            return
        request.parcel.close()
        if forked is None:
            request.forked.set_exception(Unavailable(reason))
        else:
            request.forked.set_result(forked)

    def _forked(self, message: dict[str, Any]) -> tuple[Forked | None, str]:
        """The process that was made, or why there is none."""
        if "pid" not in message:
            return None, str(message["error"])
        # A descriptor never arrives later than the bytes it was sent with (unix(7)), so the first one is this answer's.
        if self._descriptors:
            return Forked(message["pid"], self._descriptors.pop(0)), ""
        with contextlib.suppress(ProcessLookupError):  # the kernel had no number left for it here (EMFILE)
            os.kill(message["pid"], signal.SIGKILL)
        return None, "cannot make a process: too many files are open; close some sessions and try again"

    def _fail_pending(self) -> None:
        self._received = b""
        for fd in self._descriptors:
            os.close(fd)
        self._descriptors = []
        for request in self._pending.values():
            request.let_go()
            if not request.forked.done():
                request.forked.set_exception(Unavailable("cannot make a process: the launcher ended; try again"))
        self._pending.clear()


def kill(process: Forked) -> None:
    """SIGKILL, if it still runs, and let go of it."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
    os.close(process.pidfd)


def _encoded(message: dict[str, Any]) -> bytes:
    try:
        return channel.encode(message)
    except ValueError as error:
        raise InvalidArgument(f"cannot pass this on: it makes {error}; shorten arguments or environment") from error

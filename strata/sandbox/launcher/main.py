# SPDX-License-Identifier: MIT
"""The launcher: a small process that forks, so that nothing is started from scratch when a sandbox needs a process.

One request a frame on its standard input (a stream socket to the room): {"id", "do": open|spawn|work, …} with a parcel
of descriptors (channel.parcel). It answers {"id", "pid"} with a pidfd, or {"id", "error"}. It keeps nothing, knows no
secrets, and ends when the room does. What it forks goes on.

It waits for nobody: it ignores SIGCHLD, so its children leave no zombie (sigaction(2)), and no command whose parent it
is can take its time by ending, stopping or going on.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from strata.sandbox.launcher import channel, ends, joining, kernel, opening, spawn, work


class Launcher:
    """One room, one seccomp program. `told`: whether the kernel tells of ends (launcher/ends.py)."""

    def __init__(self, room: socket.socket, program: bytes, told: bool) -> None:
        self.room, self.program, self.told = room, program, told

    def serve(self) -> None:
        """Until the room hangs up."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while received := channel.receive(self.room):
            self._take(*received)

    def _take(self, request: dict[str, Any], fds: list[int]) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # its number is no other's until there is a pidfd
        try:
            said, made = self._made(request, fds)
        finally:
            for fd in fds:  # before the answer: until that, the room too has what is in the parcel
                os.close(fd)
        channel.send(self.room, {"id": request["id"], **said}, made)
        for fd in made:
            os.close(fd)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        _reap()

    def _made(self, request: dict[str, Any], fds: list[int]) -> tuple[dict[str, Any], list[int]]:
        """What to say of the new process, and a pidfd of it."""
        pid = -1
        try:
            pid, left = _fork(request.get("keepers", ()))
            if pid == 0:
                self._be(request | {"keepers": left}, fds)
            return {"pid": pid}, [os.pidfd_open(pid)]
        except OSError as error:
            if pid > 0:
                os.kill(pid, signal.SIGKILL)  # nobody would hear of it
            return {"error": f"cannot make a process: {error.strerror}"}, []

    def _be(self, request: dict[str, Any], parcel: list[int]) -> NoReturn:
        """In the fork: nothing of the launcher is kept but what came with the request."""
        try:
            os.setsid()
            kernel.close_all_but([0, 1, 2, *parcel])
            null = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1):
                os.dup2(null, number)
            os.close(null)
            kernel.set_dumpable(False)
            kernel.set_name(f"strata-{request['do']}")
            fds = channel.unpacked(*parcel)
            if request["do"] == "open":
                opening.run(request, fds, self.program)
            elif request["do"] == "spawn":
                spawn.run(request | {"told": self.told}, fds, self.program)
            else:
                work.run(request, fds, self.program)
        finally:
            os._exit(1)


def _fork(keepers: Sequence[str]) -> tuple[int, Sequence[str]]:
    """As fork(2), into the cgroup of these directories; and those that the child still has to join."""
    try:
        tree = os.open(keepers[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (IndexError, OSError):  # gone by now: joining tells
        return os.fork(), keepers
    try:
        pid, born = joining.fork_into(tree)
        return pid, keepers[1:] if born else keepers
    finally:
        os.close(tree)


def _reap() -> None:
    """Those that ended while SIGCHLD was not ignored."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> int:
    """`python -m strata.sandbox.launcher.main`, with the room's socket as standard input; its filter comes first."""
    for number in spawn.OF_THE_ROOM:
        signal.signal(number, signal.SIG_IGN)
    room = socket.socket(fileno=os.dup(0))
    first = channel.receive(room)
    if first is None:
        return 0
    message, fds = first
    program = os.read(fds[0], message["size"])
    os.close(fds[0])
    kernel.set_name("strata-launcher")
    told = ends.are_told()
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a fork would touch, and so copy, every page
    Launcher(room, program, told).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""The first message of a command that is being started, and what comes with it: its terminal, or a pidfd of it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from typing import Any

from strata.errors import Unavailable
from strata.sandbox import launching
from strata.sandbox.children import MOST_TOLD, Child, watch
from strata.sandbox.launcher.spawn import KEPT, UNKEPT
from strata.sandbox.unkept import Unkept

FIRST_SECONDS = 10.0
"""It is said within milliseconds, before anything of the session's is waited for."""


async def with_master(forked: launching.Forked, ours: socket.socket) -> tuple[Child, int]:
    """The child, and the master of its terminal, or -1 where there is none: then the child's end says why. Takes both
    over. Raises Unavailable when nothing is said in time."""
    data, fds = await _first(forked, ours, 1)
    child = watch(forked, ours.detach(), told=b"" if fds else data)
    return child, fds[0] if fds else -1


async def with_pidfd(
    forked: launching.Forked, ours: socket.socket, opened: Coroutine[Any, Any, None]
) -> Child | Unkept:
    """The command, with a keeper where there had to be one, once `opened`, whose errors are raised. Takes both over.
    Raises Unavailable when nothing is said in time."""
    try:
        await opened
    except BaseException:
        launching.kill(forked)
        ours.close()
        raise
    data, fds = await _first(forked, ours, MOST_TOLD)
    if data.startswith(UNKEPT) and not fds:  # the kernel had no number left for it here (EMFILE)
        os.close(forked.pidfd)
        ours.close()
        raise Unavailable("cannot start a command: too many files are open; close some sessions and try again")
    if not fds:
        return watch(forked, ours.detach(), told=b"" if data == KEPT else data)
    os.close(forked.pidfd)  # it has ended, having said all
    return Unkept(int(data[len(UNKEPT) :]), fds[0], ours.detach())


async def _first(forked: launching.Forked, ours: socket.socket, most: int) -> tuple[bytes, list[int]]:
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    ours.setblocking(False)
    loop.add_reader(ours, arrived.set)
    try:
        async with asyncio.timeout(FIRST_SECONDS):
            await arrived.wait()
        data, fds, _, _ = socket.recv_fds(ours, most, 1)
        for fd in fds:
            os.set_inheritable(fd, False)
    except BaseException as error:
        launching.kill(forked)
        ours.close()
        if isinstance(error, TimeoutError):
            said = f"cannot start a command in the session: nothing came of it within {FIRST_SECONDS:g} s; try again"
            raise Unavailable(said) from error
        raise
    finally:
        loop.remove_reader(ours)
    return data, fds

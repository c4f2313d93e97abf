# SPDX-License-Identifier: MIT
"""The first message of a command that is being started, and what comes with it: its terminal, or a pidfd of it."""

from __future__ import annotations

import asyncio
import os
import socket

from strata.sandbox import launching
from strata.sandbox.children import MOST_TOLD, Child, watch
from strata.sandbox.launcher.spawn import KEPT, UNKEPT
from strata.sandbox.unkept import Unkept


async def with_master(forked: launching.Forked, ours: socket.socket) -> tuple[Child, int]:
    """The child, and the master of its terminal, or -1 where there is none: then the child's end says why. Takes both
    over."""
    data, fds = await _first(forked, ours, 1)
    child = watch(forked, ours.detach(), told=b"" if fds else data)
    return child, fds[0] if fds else -1


async def with_pidfd(forked: launching.Forked, ours: socket.socket) -> Child | Unkept:
    """The command, with a keeper where there had to be one. Takes both over."""
    data, fds = await _first(forked, ours, MOST_TOLD)
    if not fds:
        return watch(forked, ours.detach(), told=b"" if data == KEPT else data)
    os.close(forked.pidfd)  # it has ended, having said all
    return Unkept(int(data[len(UNKEPT) :]), fds[0], ours.detach())


async def _first(forked: launching.Forked, ours: socket.socket, most: int) -> tuple[bytes, list[int]]:
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    ours.setblocking(False)
    loop.add_reader(ours, arrived.set)
    try:
        await arrived.wait()
        data, fds, _, _ = socket.recv_fds(ours, most, 1, socket.MSG_CMSG_CLOEXEC)
    except BaseException:
        launching.kill(forked)
        ours.close()
        raise
    finally:
        loop.remove_reader(ours)
    return data, fds

# SPDX-License-Identifier: MIT
"""Preparing for moves between cgroups: the process stays where it is, and who connects is greeted."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from strata.sandbox import cgroup, priming
from strata.sandbox.priming import Primer
from strata.sockets.server import Server


@pytest.fixture
def group() -> Path:
    """This process's own cgroup."""
    found = priming.own_group(cgroup.layout().tree)
    if not os.access(found / "cgroup.procs", os.W_OK):
        pytest.skip("needs a cgroup that it may write to (root)")
    return found


def test_the_process_stays_where_it_is(group: Path) -> None:
    """However often it is asked, one move at a time."""
    before = Path("/proc/self/cgroup").read_text()

    async def many() -> None:
        primer = Primer(group)
        for _ in range(20):
            primer.prime()
            await asyncio.sleep(0.001)
        await asyncio.to_thread(primer.close)

    asyncio.run(many())
    assert Path("/proc/self/cgroup").read_text() == before


def test_where_it_may_not_write_nothing_is_done(tmp_path: Path) -> None:
    """A session is then opened as without it."""

    async def once() -> None:
        primer = Primer(tmp_path / "no-such-group")
        primer.prime()
        primer.close()

    asyncio.run(once())


def test_the_group_is_the_one_of_this_process(group: Path) -> None:
    """As the kernel lists it."""
    assert str(os.getpid()) in (group / "cgroup.procs").read_text().split()


def test_a_server_greets_everybody_who_connects(tmp_path: Path) -> None:
    """Before he has said anything."""
    greeted = []

    async def serve() -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        server = Server((), None, lambda *_: None, lambda *_: None, greet=lambda: greeted.append(1))
        await server.listen(listener)
        for _ in range(3):
            _, writer = await asyncio.open_unix_connection(tmp_path / "s")
            writer.close()
        async with asyncio.timeout(5):
            while len(greeted) < 3:
                await asyncio.sleep(0.01)
        await server.close()

    asyncio.run(serve())

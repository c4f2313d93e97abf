# SPDX-License-Identifier: MIT
"""The way into a session that is being opened: who comes early waits, and comes in or is told that it never opens."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from strata.errors import NotFound
from strata.sandbox.entrance import Entrance
from strata.sandbox.launcher import joining


def early(entrance: Entrance) -> int:
    """A process of the launcher's own copy of what it is given."""
    with entrance.passed() as way_in:
        return os.dup(way_in)


def test_who_comes_early_is_given_the_first_process_once_it_runs() -> None:
    entrance = Entrance(os.dup(0))
    waiting = [early(entrance), early(entrance)]
    entrance.open(os.pidfd_open(os.getpid()))
    for way_in in waiting:
        pidfd = joining.first_process(way_in)
        assert os.path.samestat(os.fstat(pidfd), os.fstat(entrance.init))
        assert not os.get_inheritable(pidfd)
        os.close(pidfd)
    entrance.close()


def test_who_comes_later_is_given_it_at_once() -> None:
    entrance = Entrance(os.dup(0), os.pidfd_open(os.getpid()))
    with entrance.passed() as way_in:
        assert way_in == entrance.init == joining.first_process(way_in)
    entrance.close()


def test_who_comes_early_to_what_never_opens_is_told() -> None:
    entrance = Entrance(os.dup(0))
    way_in = early(entrance)
    entrance.close()
    with pytest.raises(ProcessLookupError):
        joining.first_process(way_in)


def test_one_who_waited_and_has_ended_disturbs_nobody() -> None:
    entrance = Entrance(os.dup(0))
    gone, waiting = early(entrance), early(entrance)
    os.close(gone)
    entrance.open(os.pidfd_open(os.getpid()))
    os.close(joining.first_process(waiting))
    entrance.close()


def test_an_opening_is_awaited_and_its_failure_raised() -> None:
    async def go() -> None:
        entrance = Entrance(os.dup(0))
        opened = asyncio.create_task(entrance.opened())
        await asyncio.sleep(0)
        assert not opened.done()
        entrance.open(os.pidfd_open(os.getpid()))
        await opened
        entrance.close()
        with pytest.raises(NotFound, match="session not found"):
            await entrance.opened()

    asyncio.run(go())


def test_a_socket_is_closed_by_whom_it_told() -> None:
    ours, theirs = socket.socketpair()
    number = theirs.detach()
    ours.close()
    with pytest.raises(ProcessLookupError):
        joining.first_process(number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)

# SPDX-License-Identifier: MIT
"""A client that hangs up while its call is being answered is no fault of the door's."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from strata.api.grpc_wire import Outlet


@pytest.fixture(scope="module", autouse=True)
def _first_loop() -> None:
    """libuv keeps a pipe for the whole process from its first loop on."""
    uvloop.new_event_loop().close()


class Listener(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set()


@pytest.mark.parametrize("end", ["abort", "close"])
def test_what_is_written_to_a_connection_that_is_lost_goes_nowhere(end: str) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            transport, listener = await asyncio.get_running_loop().connect_accepted_socket(Listener, ours)
            outlet = Outlet(transport)
            outlet.write(b"before")
            getattr(transport, end)()
            await listener.lost.wait()
            assert outlet.is_closing()
            outlet.write(b"after")
            assert theirs.recv(100) == b"before"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

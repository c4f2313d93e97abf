# SPDX-License-Identifier: MIT
"""What the launcher says of a command without a keeper, in either order, as the room hears it."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess

import pytest

from strata.sandbox.children import Ended
from strata.sandbox.launcher import spawn
from strata.sandbox.launching import Forked
from strata.sandbox.spawning import with_pidfd

FAILURE = {"stage": "exec", "errno": 2, "message": "No such file or directory"}


@pytest.mark.parametrize("failure_first", [True, False])
def test_a_command_that_never_ran_says_why_whoever_speaks_first(failure_first: bool) -> None:
    """It fails while the one that forked it tells who it is: two processes, one socket."""

    async def opened() -> None:
        """It is."""

    async def main() -> Ended:
        child = subprocess.Popen(["/bin/false"])
        keeper = Forked(child.pid, os.pidfd_open(child.pid))  # killed, should it not be understood
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pidfd = os.pidfd_open(child.pid)
            words = [
                lambda: spawn._hand_over(theirs.fileno(), child.pid, pidfd),
                lambda: spawn._say(theirs.fileno(), FAILURE),
            ]
            for word in reversed(words) if failure_first else words:
                word()
            os.close(pidfd)
        found = await with_pidfd(keeper, ours, opened())
        await asyncio.to_thread(child.wait)
        return await found.ended

    ended = asyncio.run(main())
    assert (ended.stage, ended.errno, ended.message) == tuple(FAILURE.values())

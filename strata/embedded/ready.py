# SPDX-License-Identifier: MIT
"""Start the process that becomes the private PID 1, and be told when it is up (sd_notify(3)): nothing is polled."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import strata
from strata.embedded import record
from strata.embedded.plan import Plan
from strata.embedded.record import Embedded
from strata.errors import Unavailable


class Started(NamedTuple):
    """A process that waits for the word to become systemd, its record, and the pipes to it."""

    embedded: Embedded
    to: IO[bytes]
    from_: IO[bytes]

    def go(self) -> None:
        """Give the word and wait until it is systemd; Unavailable with the step that failed where it is not."""
        self.to.write(b"go\n")
        self.to.flush()
        complaint = self.from_.read().decode(errors="replace").strip()
        if complaint:
            raise Unavailable(complaint)


@contextlib.contextmanager
def start(plan: Plan, notify_socket: str) -> Iterator[Started]:
    """Start `init` with the plan. It has its namespaces by then, and ends with this context if never told to go."""
    package = str(Path(strata.__file__).parent.parent)
    with (
        plan.log.open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-S", "-P", "-m", "strata.embedded.init", json.dumps(plan.for_init(notify_socket))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={"PYTHONPATH": package, "PATH": plan.env["PATH"]},
            cwd="/",
        ) as process,
    ):
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        word, _, rest = process.stdout.readline().decode(errors="replace").strip().partition(" ")
        if word != "PID":
            raise Unavailable(f"{word} {rest}".strip() or f"its first process ended with {process.wait()}")
        embedded = plan.embedded._replace(pid=int(rest), start_time=record.start_time(int(rest)) or 0)
        yield Started(embedded, process.stdin, process.stdout)


class Listener:
    """The socket where PID 1 says READY=1; abstract, so that it is reached from any file tree (unix(7))."""

    def __init__(self) -> None:
        self.address = f"@strata-embedded-{uuid.uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def __enter__(self) -> Self:
        # Anyone can write to an abstract socket: the kernel says who did.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + self.address[1:])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def wait(self, pid: int, timeout: float) -> None:
        """Return when the process `pid` says READY=1; Unavailable when it ends first, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        pidfd = os.pidfd_open(pid)
        try:
            while not self._heard_ready(pid, pidfd, deadline - time.monotonic()):
                pass
        finally:
            os.close(pidfd)

    def _heard_ready(self, pid: int, pidfd: int, seconds: float) -> bool:
        answered, _, _ = select.select([self._socket.fileno(), pidfd], [], [], max(seconds, 0))
        if self._socket.fileno() in answered:
            return self._is_ready(pid)
        if pidfd in answered:
            raise Unavailable("systemd ended before it was up")
        raise Unavailable("systemd is not up in time")

    def _is_ready(self, pid: int) -> bool:
        text, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
        senders = [struct.unpack("3i", data)[0] for _, kind, data in ancillary if kind == socket.SCM_CREDENTIALS]
        return senders == [pid] and b"READY=1" in text.split(b"\n")


def gone(pidfd: int, timeout: float) -> bool:
    """Whether the process ends within `timeout` seconds."""
    return bool(select.select([pidfd], [], [], timeout)[0])


def reaped(pid: int, timeout: float) -> bool:
    """Whether a dead process leaves the process table within `timeout` seconds.

    Its parent is the machine's own init, some of which reap once a second only, and some containers' not at all.
    """
    deadline = time.monotonic() + timeout
    while pid and record.is_zombie(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True

# SPDX-License-Identifier: MIT
"""A session without a sandbox: a real shell on real cgroups and pipes, as the shell's tests need one and no more."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from strata.sandbox import cgroup
from strata.sandbox.cgroup import Group
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.descriptor_store import DescriptorStore
from strata.sandbox.ids import Key
from strata.sandbox.inotify import Inotify
from strata.sandbox.session import SpawnPlan, State
from strata.sandbox.shell.outcome import whole
from strata.sandbox.shell.shell import Command, Shell
from strata.sandbox.unkept import Unkept

_JOIN = 'for directory in $1; do echo $$ > "$directory/cgroup.procs"; done; shift; exec "$@"'


class PlainSession:
    """What a shell uses of a session, on the machine itself."""

    def __init__(self, scope: Group, directory: Path, shell: str) -> None:
        self.key = Key("test", directory.name)
        self.directory = directory
        self.groups = Mock(scope=scope)
        self.record = Mock(shell=shell)
        self.state = State.OPEN
        self.exchange_fd = os.open(directory / "exchange", os.O_RDONLY | os.O_DIRECTORY)
        self.processes: list[subprocess.Popen[bytes]] = []

    def check_running(self) -> None:
        """It always does."""

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8"}

    async def thawed(self) -> None:
        """It always is."""

    async def spawn_unkept(self, plan: SpawnPlan, fds: Sequence[int], group: Group) -> Unkept:
        """As the launcher does: in its cgroup from its first instruction on, a child of somebody who waits for it."""
        given = dict(zip(plan.numbers, fds, strict=True))

        def place() -> None:
            for number, fd in given.items():
                os.dup2(fd, 1000 + number)
            os.closerange(3, 1000)
            for number in given:
                os.dup2(1000 + number, number)
            os.closerange(1000, 4096)

        process = subprocess.Popen(
            ["/bin/sh", "-c", _JOIN, "sh", " ".join(group.directories), *plan.argv],
            env=dict(plan.env),
            cwd=self.directory / "root",
            preexec_fn=place,
            close_fds=False,
            start_new_session=True,
        )
        self.processes.append(process)
        pidfd = os.pidfd_open(process.pid)
        threading.Thread(target=process.wait, daemon=True).start()
        return Unkept(process.pid, pidfd)


class Bench:
    """A shell, its session, and what it stands on."""

    def __init__(self, shell: Shell, session: PlainSession, inotify: Inotify) -> None:
        self.shell, self.session, self.inotify = shell, session, inotify

    async def run(self, text: str | bytes, seconds: float = 10.0, stdin: bytes = b"") -> dict[str, Any]:
        """The answer to one exec."""
        raw = text.encode() if isinstance(text, str) else text
        return whole(await self.shell.run(Command(raw, seconds, stdin)))

    def take_back(self) -> None:
        """As the next room does. Whoever has not left before knows nothing of it."""
        self.shell = new_shell(self.session, self.inotify)
        self.shell.adopt()

    async def output(self, text: str, seconds: float = 10.0) -> str:
        return str((await self.run(text, seconds))["output"])


@contextlib.asynccontextmanager
async def bench(shell: str = "/bin/bash", output_max: int = 1_048_576) -> AsyncIterator[Bench]:
    """Everything, made anew and removed."""
    directory = Path(tempfile.mkdtemp(prefix="strata-shell-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    for name in ("exchange", "root"):
        (directory / name).mkdir(mode=0o711)
    layout = cgroup.layout()
    top = Group(layout.tree, layout.memory).make(directory.name)
    session = PlainSession(top, directory, shell)
    inotify = Inotify()
    made = new_shell(session, inotify, output_max)
    try:
        yield Bench(made, session, inotify)
    finally:
        await made.close()
        top.kill()
        emptiness = Emptiness()
        assert await emptiness.wait(top, 10)
        emptiness.close()
        for process in session.processes:
            await asyncio.to_thread(process.wait)
        assert top.remove()
        inotify.close()
        os.close(session.exchange_fd)
        shutil.rmtree(directory)


async def until(holds: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def with_bench(body: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
    """Run a test's body with a bench of its own."""

    async def main() -> None:
        async with bench(**options) as made:
            await body(made)

    asyncio.run(main())


def new_shell(
    session: PlainSession, inotify: Inotify, output_max: int = 1_048_576, store: DescriptorStore | None = None
) -> Shell:
    """A shell of that session, as a room makes it."""
    inside, kept = f"{session.directory}/exchange", DescriptorStore() if store is None else store
    return Shell(session, inotify, kept, output_max, inside)  # type: ignore[arg-type]

# SPDX-License-Identifier: MIT
"""A caller passes a file of a file system that he serves himself (FUSE), and does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from strata.errors import InvalidArgument
from strata.sandbox import launching, plan
from strata.sandbox.launching import Launcher

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse"),
]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A mounted directory with a file in it, of which nothing is remembered by the kernel; its server."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower/file").write_text("x")
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work,timeout=0"
    server = subprocess.Popen(("fuse-overlayfs", "-f", "-o", layers, str(tmp_path / "merged")))
    try:
        deadline = time.monotonic() + 10
        while not os.path.ismount(tmp_path / "merged"):
            assert server.poll() is None
            assert time.monotonic() < deadline, "it is not mounted"
            time.sleep(0.01)
        yield tmp_path / "merged", server.pid
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(("umount", str(tmp_path / "merged")), check=False)
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def silent(server: int) -> Iterator[None]:
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


def test_a_passed_file_whose_server_is_silent_holds_up_nobody(served: tuple[Path, int]) -> None:
    directory, server = served
    fd = os.open(directory / "file", os.O_RDONLY)
    try:
        with silent(server):
            asked = threading.Thread(target=os.fstat, args=(fd,), daemon=True)
            asked.start()
            asked.join(0.3)
            assert asked.is_alive(), "its server would have been asked"
            assert plan.roles(("stdin",), (fd,)) == {"stdin": fd}
        asked.join(10)
    finally:
        os.close(fd)


def test_a_passed_directory_is_refused_even_then(served: tuple[Path, int]) -> None:
    directory, server = served
    fd = os.open(directory, os.O_RDONLY)
    try:
        with silent(server), pytest.raises(InvalidArgument):
            plan.roles(("stdin",), (fd,))
    finally:
        os.close(fd)


def test_a_command_with_a_file_whose_server_is_silent_holds_up_no_other(served: tuple[Path, int]) -> None:
    """Each close(2) of such a file asks its server, not only the last: neither room nor launcher ever does that."""
    directory, server = served
    nothing = {"work": "", "arguments": {}, "keepers": [], "inside": False}

    async def forks() -> float:
        launcher = Launcher(b"no filter")
        await launcher.start()
        launching.kill(await launcher.fork("work", nothing, []))
        fd = os.open(directory / "file", os.O_RDWR)
        end = threading.Timer(5, os.kill, (server, signal.SIGCONT))  # of whoever waits for it
        end.start()
        try:
            with silent(server):
                before = time.monotonic()
                for passed in ([fd], [fd, fd], []):
                    launching.kill(await launcher.fork("work", nothing, passed))
                return time.monotonic() - before
        finally:
            end.cancel()
            os.close(fd)
            await launcher.close()

    assert asyncio.run(forks()) < 4

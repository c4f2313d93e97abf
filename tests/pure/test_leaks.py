# SPDX-License-Identifier: MIT
"""The check that a test leaves nothing behind finds what is left."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import leaks
import pytest


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_SETTLE_SECONDS", 0.05)


@pytest.fixture
def before() -> leaks.Holdings:
    """What the process holds when the test starts."""
    return leaks.holdings()


def test_nothing_is_found_where_nothing_is_left(before: leaks.Holdings) -> None:
    """A file opened and closed again is no leak."""
    Path("/proc/self/stat").read_text()
    assert leaks.left_since(before) == []


def test_an_open_descriptor_is_found(before: leaks.Holdings) -> None:
    """By what it is, not only by its number."""
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        assert leaks.left_since(before) == [f"descriptor {fd} → /dev/null"]
    finally:
        os.close(fd)


def test_a_child_process_is_found(before: leaks.Holdings) -> None:
    """With the command that it runs."""
    with subprocess.Popen(["sleep", "60"]) as child:
        left = leaks.left_since(before)
        child.kill()
    assert left == [f"child process {child.pid} (sleep 60)"]


def test_an_unfinished_task_is_found(before: leaks.Holdings) -> None:
    """Also of a loop that runs no more."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(asyncio.sleep(60), name="forgotten")
    try:
        assert any("forgotten" in line for line in leaks.left_since(before))
    finally:
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

# SPDX-License-Identifier: MIT
"""What strangers passed is closed at once where that takes no time, and by a thread where it may."""

from __future__ import annotations

import os
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from strata.sockets import letting_go
from strata.sockets.letting_go import Closer


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that were left to threads; here they are closed at the end."""
    found: list[int] = []
    monkeypatch.setattr(Closer, "_hand_over", lambda _closer, descriptor: found.append(descriptor))
    return found


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_little_memory_is_closed_at_once(handed: list[int]) -> None:
    """The door lends some with every exec."""
    memory = os.memfd_create("result")
    os.write(memory, b"x" * 100_000)
    Closer().close([memory])
    assert handed == []
    assert not _is_open(memory)


def test_much_memory_is_closed_by_a_thread(handed: list[int]) -> None:
    """To free it takes time."""
    memory = os.memfd_create("much")
    os.posix_fallocate(memory, 0, 2 << 20)
    Closer().close([memory])
    assert handed == [memory]
    os.close(memory)


def test_a_file_that_is_called_as_memory_is_none(handed: list[int], tmp_path: Path) -> None:
    """Names are anybody's choice."""
    path = tmp_path / "memfd:x"
    path.touch()
    path_only = os.open(path, os.O_PATH)
    Closer().close([path_only])
    assert handed == [path_only]
    os.close(path_only)


def test_what_a_thread_was_given_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letting_go, "_little_memory", Mock(return_value=False))
    memory = os.memfd_create("any")
    Closer().close([memory])
    deadline = time.monotonic() + 5
    while _is_open(memory):
        assert time.monotonic() < deadline
        time.sleep(0.01)

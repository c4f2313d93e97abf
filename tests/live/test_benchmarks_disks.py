# SPDX-License-Identifier: MIT
"""The disk that a peer's sandbox is given, so that it has the same walls as a session (benchmarks/peers/disks.py)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import until

from benchmarks.peers import disks
from benchmarks.peers.contract import Box, Tools


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box("p1", tmp_path / "p1", Tools(tmp_path, tmp_path, {}), own_disk=True)
    made.path.mkdir()
    disks.make(made)
    yield made
    disks.remove(made.path)


def devices() -> str:
    return subprocess.run(["losetup", "--list", "--noheadings"], check=True, capture_output=True, text=True).stdout


def test_what_a_peer_writes_is_bounded_as_it_is_for_a_session(box: Box) -> None:
    held = os.statvfs(box.path)
    assert os.path.ismount(box.path)
    assert 0 < held.f_blocks * held.f_frsize <= disks.BYTES
    assert 0 < held.f_files <= disks.INODES


def test_nothing_of_it_is_left_once_it_is_removed(box: Box) -> None:
    (box.path / "file").write_text("written")
    disks.remove(box.path)
    assert list(box.path.iterdir()) == []
    assert list(box.path.parent.glob("p1.*")) == []
    until(lambda: str(box.path) not in devices(), "the loop device is let go")


def test_a_sandbox_without_one_has_nothing_taken_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("stays")
    disks.remove(tmp_path)
    assert (tmp_path / "file").exists()

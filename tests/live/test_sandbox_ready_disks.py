# SPDX-License-Identifier: MIT
"""Sessions whose disks lay ready: each is the session's own, empty and bounded, and is gone with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import box
import pytest
from box import Box

from strata.sandbox.layers import erase, image, probe

SIZE, INODES = 64 << 20, 4096  # as in box.raw


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A directory of sessions with disks that lie ready."""
    if reason := probe.probe()["image"]:
        pytest.skip(f"disks on loop devices: {reason}")
    tmp_path.chmod(0o711)
    image.empty(str(tmp_path / "stock"), SIZE, INODES)
    image.restock(str(tmp_path / "stock"), SIZE, INODES)
    return tmp_path


@pytest.fixture
def two(state: Path) -> Iterator[tuple[Box, Box]]:
    """Two sessions, the second of other users."""
    paths = [state / "sessions/owner" / name for name in ("one", "two")]
    with box.opened(paths[0]) as one, box.opened(paths[1], uid_base=box.BASE + 65_536) as other:
        yield one, other
    for path in paths:
        erase.tree(str(path))
    assert not list(state.glob("sessions/owner/*"))


def test_each_session_has_one_of_its_own(state: Path, two: tuple[Box, Box]) -> None:
    one, other = two
    one.out("echo mine > /root/file")
    assert other.run("cat /root/file")[0] != 0
    assert [box.said["disk"] for box in two] == ["image", "image"]
    assert len(list(state.glob("stock/*.ready?"))) == image.READY - 2
    assert not list(state.glob("stock/*.taken"))
    assert (state / "sessions/owner/one" / image.NAME).stat().st_size == SIZE


def test_it_is_bounded_as_any_other(two: tuple[Box, Box]) -> None:
    assert "No space left on device" in two[0].run("head -c 200M /dev/zero > /root/hog")[1]
    two[1].out("head -c 20M /dev/zero > /root/fits")

# SPDX-License-Identifier: MIT
"""The disk below the state directory is full while a session's disk is made."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from strata.sandbox.layers import image


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for less than an empty image takes."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount one")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "small", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_is_told_as_such_and_not_taken_for_the_lack_of_mke2fs(small: Path) -> None:
    """Or the session would be opened all the same, with what it writes kept in memory."""
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as raised:
        image.make(str(small / "stock"), 16 * 1024 * 1024, 4096, str(small / "disk"))
    assert raised.value.errno == errno.ENOSPC

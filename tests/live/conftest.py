# SPDX-License-Identifier: MIT
"""A running Strata for the whole session, brought up and taken down by `strata-ctl` as its users do it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Manager
from node import Node


@pytest.fixture(scope="session")
def strata(manager: Manager) -> Iterator[Node]:
    """Strata, Healthy, on a real systemd. A test that stops or kills something of it must bring it back."""
    node = Node(manager)
    up = node.ctl("up")
    assert up.returncode == 0, up.stderr
    yield node
    down = node.ctl("down")
    assert down.returncode == 0, down.stderr
    left = [path.name for path in manager.paths.runtime_dir.glob("*.sock")]
    assert not left, f"`strata-ctl down` left the sockets {left}"


@pytest.fixture
def disturbed(strata: Node) -> Iterator[Node]:
    """The running Strata for a test that stops, restarts or kills part of it; mended afterwards, pass or fail."""
    yield strata
    strata.settle()


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory P of the specification's set-up S0, for tests that only read it."""
    top = tmp_path_factory.mktemp("P")
    (top / "a.txt").write_text("hello strata\n")
    (top / "bin").write_bytes(b"\xff\xfe\x00\x41")
    (top / "a..b").write_text("dots\n")
    (top / "big").write_bytes(b"0123456789abcde\n" * (2 * 1_048_576 // 16))
    for name in ("empty", "sub"):
        (top / name).mkdir()
    (top / "sub/inner.txt").write_text("inner\n")
    (top / "lnk").symlink_to("/etc/passwd")
    (top / "lnkdir").symlink_to("/etc")
    os.mkfifo(top / "fifo")
    return top

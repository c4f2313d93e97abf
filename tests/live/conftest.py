# SPDX-License-Identifier: MIT
"""A running Strata for the whole session, brought up and taken down by `strata-ctl` as its users do it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import served as serving_one
import visitor
from bystander import bystander as bystander  # a fixture
from machine import Manager
from node import Node, running
from served import Served
from visitor import Visitor


@pytest.fixture(scope="session")
def strata(manager: Manager) -> Iterator[Node]:
    """Strata, Healthy, on a real systemd. A test that stops or kills something of it must bring it back."""
    with running(manager) as node:
        yield node


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


@pytest.fixture
def user(strata: Node) -> Iterator[Visitor]:
    """A user of the sandbox server with a token for sessions of his own; none of them is left."""
    owner = f"u{uuid.uuid4().hex[:8]}"
    issued = strata.issue(service=visitor.SERVICE, actions=list(visitor.ACTIONS), owner=owner)
    yield Visitor(strata.address, owner, issued.token)
    for one in strata.call("sandbox.list", {"owner": owner})["sessions"]:
        closed = strata.ask("sandbox.close", {"owner": owner, "session": one["session"]})
        assert closed["ok"] or closed["error"]["name"] == "NOT_FOUND", closed  # its time may just have passed


@pytest.fixture(scope="session")
def own_server() -> Iterator[Served]:
    """The one server of settings of its own; use `served`."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a systemd of its own")
    with serving_one.serving() as found:
        yield found


@pytest.fixture
def served(own_server: Served) -> Iterator[Served]:
    """`strata run` with settings of its own, no session open; mended afterwards, pass or fail."""
    if not own_server.running:
        own_server.start()
    yield own_server
    if own_server.running:
        own_server.close_all()

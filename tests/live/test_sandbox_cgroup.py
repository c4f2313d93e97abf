# SPDX-License-Identifier: MIT
"""A session's groups, in the machine's own cgroup tree."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from strata.sandbox import cgroup
from strata.sandbox.cgroup import Group

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for cgroups of its own")


@pytest.fixture
def group() -> Iterator[Group]:
    """An empty one."""
    made = Group(cgroup.layout().tree, None).make(f"strata-test-{uuid.uuid4().hex[:8]}")
    yield made
    if made.tree.exists():
        made.tree.rmdir()


@pytest.mark.parametrize("deed", [Group.kill, Group.freeze, Group.thaw])
def test_a_group_that_systemd_removes_meanwhile_needs_nothing_more(
    group: Group, deed: Callable[[Group], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing to a file of it that is open already gives ENODEV then."""
    write = os.write

    def removed_first(fd: int, data: bytes) -> int:
        group.tree.rmdir()
        return write(fd, data)

    monkeypatch.setattr(os, "write", removed_first)
    deed(group)
    assert not group.tree.exists()

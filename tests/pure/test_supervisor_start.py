# SPDX-License-Identifier: MIT
"""What a supervisor looks at in the directories that it finds when it starts."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from strata.errors import Conflict, Unavailable
from strata.paths import Paths
from strata.supervisor import main, rollout


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path, tmp_path / "state", tmp_path / "etc")


def test_there_is_one_supervisor_of_a_runtime_directory(paths: Paths) -> None:
    with main._alone(paths), pytest.raises(Conflict, match="another supervisor serves"), main._alone(paths):
        pass
    with main._alone(paths):
        pass


def test_who_may_only_read_the_directory_cannot_keep_it_from_starting(paths: Paths) -> None:
    """flock(2) takes any descriptor, so what is locked must be a file that nobody else can open."""
    stranger = os.open(paths.runtime_dir, os.O_RDONLY)
    try:
        fcntl.flock(stranger, fcntl.LOCK_EX)
        with main._alone(paths):
            assert paths.supervisor_lock.stat().st_mode & 0o777 == 0o600
    finally:
        os.close(stranger)


def test_without_its_directory_it_says_what_makes_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "missing", tmp_path, tmp_path)
    with pytest.raises(Unavailable, match="`strata-ctl up` makes it"), main._alone(paths):
        pass


def test_only_a_manifest_keeps_what_runs_declared(tmp_path: Path) -> None:
    """A broken one does, too; one that was renamed away does not."""
    for name in ("mine.toml", "broken.toml", "gone.disabled", "old.toml.bak", ".hidden.toml"):
        (tmp_path / name).touch()
    assert rollout._stems(tmp_path) == {"mine", "broken"}

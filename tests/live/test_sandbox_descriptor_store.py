# SPDX-License-Identifier: MIT
"""What a room gives systemd to keep is there again after the room was killed: by name, whole, and close-on-exec."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import store_room
from machine import Manager
from node import until

UNIT = "strata-test-store.service"
# All of the first life's, without what it had removed, and without the listening socket, which is no stored descriptor.
KEPT = store_room.MANY + 4


@pytest.fixture
def directory(manager: Manager) -> Iterator[Path]:
    """A service that keeps descriptors runs, and reports here."""
    found = manager.paths.runtime_dir / "store"
    found.mkdir(parents=True)
    properties = ["Type=notify", "Restart=always", "RestartSec=0.1", "FileDescriptorStoreMax=1000"]
    command = [sys.executable, store_room.__file__, str(found), str(found / "s")]
    started = manager.run(
        ["systemd-run", "--quiet", f"--unit={UNIT}", *(f"--property={item}" for item in properties), *command]
    )
    assert started.returncode == 0, started.stderr
    yield found
    manager.run(["systemctl", "stop", UNIT])
    shutil.rmtree(found)


def killed(manager: Manager, directory: Path, expected: int) -> Any:
    """What the next life reports after SIGKILL."""
    done = manager.run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT])
    assert done.returncode == 0, done.stderr
    file = directory / f"{expected}.json"
    until(file.exists, f"{expected} descriptors came back", 20)
    return json.loads(file.read_text())


def test_descriptors_come_back_after_sigkill_by_name_and_with_what_is_in_them(
    manager: Manager, directory: Path
) -> None:
    """A ring with its offsets; a pipe and a terminal although their other ends are gone; hundreds, each its own."""
    report = killed(manager, directory, KEPT)
    assert report["socket"], "the listening socket is told from what is stored"
    assert report["found"] == {
        "runs": {"a1": ["pipe", "ring"]},
        "terminals": {"main": ["master"]},
        "ring": [2, 10, "23456789"],
        "pipe": "left in the pipe",
        "tty": True,
        "many": True,
        "inherited": [],
    }


def test_what_nobody_took_is_dropped(manager: Manager, directory: Path) -> None:
    killed(manager, directory, KEPT)
    until(lambda: _stored(manager) == KEPT, "the other session's descriptor is no longer kept")


def _stored(manager: Manager) -> int:
    """With the listening socket."""
    said = manager.run(["systemctl", "show", "--value", "--property=NFileDescriptorStore", UNIT])
    return int(said.stdout)

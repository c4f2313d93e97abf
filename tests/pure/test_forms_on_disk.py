# SPDX-License-Identifier: MIT
"""What one version of Strata leaves on the disk, another one reads: forms only grow, and keep what they do not know.

The samples are what 0.1.0 wrote. A change that cannot read one of them needs a way from the old form to the new.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from strata import edition
from strata.edition import Edition
from strata.registry.table import Entry
from strata.sandbox import record
from strata.sandbox.record import Record, Unread
from strata.sandbox.runs import About
from strata.sandbox.snapshots import Snapshot
from strata.settings import SandboxSettings, Settings

LIMITS = {"memory_max": "1G", "tasks_max": 256, "cpu_quota": "", "disk_max": "2G", "inodes_max": 9, "files_max": 99}
SESSION = {
    "owner": "alice",
    "session": "s",
    "created_at": 1.5,
    "uid_base": 1879048192,
    "mapped": True,
    "base": "",
    "driver": "kernel",
    "network": "isolated",
    "limits": LIMITS,
    "ttl_seconds": 1800.0,
    "lifetime_seconds": 86400.0,
    "expires_at": 2.5,
    "init_pid": 77,
    "init_start": 78,
}
SNAPSHOT = {"owner": "a", "name": "n", "session": "s", "created_at": 1.0, "size": 1, "files": 1, "base": ""}
ENTRY = {"service": "fs", "endpoint": "unix:///run/strata/fs.sock", "api_v": 1, "owner": 0, "unit": "strata-fs.service"}
RUN = {"id": "4f", "argv": ["/bin/true"], "cwd": "/", "started_at": 1.0, "keeper": 7, "deadline": None}


@pytest.mark.parametrize(
    ("kind", "sample"),
    [(Record, SESSION), (Snapshot, SNAPSHOT), (Entry, ENTRY), (About, RUN)],
    ids=lambda one: str(one)[:40],
)
def test_what_an_older_and_what_a_newer_version_wrote_is_read(
    kind: type[msgspec.Struct], sample: dict[str, object]
) -> None:
    for written in (sample, sample | {"added later": {"x": [1]}}):
        msgspec.json.decode(json.dumps(written).encode(), type=kind)


def test_a_record_of_a_form_that_is_not_known_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    """Of the first it is known whose processes those are; they are left alone."""
    file = tmp_path / record.FILE
    file.write_text(json.dumps(SESSION))
    assert isinstance(record.load(tmp_path), Record)
    file.write_text(json.dumps(SESSION | {"limits": 7}))
    assert record.load(tmp_path) == Unread(1879048192, 77, 78)
    file.write_text(json.dumps(SESSION)[:-20])
    assert record.load(tmp_path) is None
    file.unlink()
    assert record.load(tmp_path) is None


def test_an_edition_is_told_and_read() -> None:
    ours = edition.edition(Settings())
    assert edition.read(edition.told(ours)) == ours
    assert edition.read("5 of 5 services are Healthy") is None


def test_every_setting_is_in_the_edition() -> None:
    assert edition.edition(Settings()) == edition.edition(Settings())
    assert edition.edition(Settings()) != edition.edition(Settings(sandbox=SandboxSettings(max_sessions=1)))


def test_what_differs_is_named() -> None:
    wanted = Edition("2.0", "b")
    assert edition.difference(wanted, wanted) == ""
    assert edition.difference(Edition("1.0", "a"), wanted) == "Strata 1.0 -> 2.0"
    assert edition.difference(Edition("2.0", "a"), wanted) == "the settings changed"
    assert edition.difference(None, wanted)

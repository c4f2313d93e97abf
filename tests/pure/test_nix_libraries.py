# SPDX-License-Identifier: MIT
"""NixOS gets the libraries that are locked for everybody: nixos/packages/libraries.json follows requirements/*.lock."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, working on a copy of the table."""
    spec = importlib.util.spec_from_file_location("nixos_lock", REPOSITORY / "nixos/lock.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    copy = tmp_path / "libraries.json"
    copy.write_bytes(script.FILE.read_bytes())
    monkeypatch.setattr(script, "FILE", copy)
    return script


def test_every_library_is_the_locked_one(lock: ModuleType) -> None:
    assert list(lock.stale()) == []


def test_a_library_of_another_version_is_told(lock: ModuleType) -> None:
    table = json.loads(lock.FILE.read_text())
    table["click"]["version"] = "0.1"
    lock.FILE.write_text(json.dumps(table))
    (problem,) = lock.stale()
    assert "click is 0.1" in problem


def test_a_file_with_another_hash_is_told(lock: ModuleType) -> None:
    table = json.loads(lock.FILE.read_text())
    table["pystemd"]["files"]["source"]["hash"] = table["click"]["files"]["any"]["hash"]
    lock.FILE.write_text(json.dumps(table))
    assert list(lock.stale()) == ["pystemd: a file that is not locked"]


def test_a_library_that_is_missing_is_told(lock: ModuleType) -> None:
    table = json.loads(lock.FILE.read_text())
    del table["uvloop"]
    lock.FILE.write_text(json.dumps(table))
    assert list(lock.stale()) == ["uvloop is missing"]


def test_what_is_needed_is_in_the_table_and_in_no_circle(lock: ModuleType) -> None:
    import graphlib

    table = json.loads(lock.FILE.read_text())
    order = graphlib.TopologicalSorter({name: one["needs"] for name, one in table.items()})
    assert set(order.static_order()) == set(table)
    at_run_time = {name for name, one in table.items() if one["group"] == "run"}
    assert all(set(table[name]["needs"]) <= at_run_time for name in at_run_time)


def test_every_library_has_a_file_for_both_machines(lock: ModuleType) -> None:
    for name, one in json.loads(lock.FILE.read_text()).items():
        assert set(one["files"]) in ({"any"}, {"source"}, set(lock.MACHINES)), name

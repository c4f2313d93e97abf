# SPDX-License-Identifier: MIT
"""The store of snapshots: what a name leads to, what holds it, how many there may be."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from strata.config import OwnerSettings
from strata.errors import Conflict, InvalidArgument, NotFound, ResourceExhausted
from strata.sandbox.ids import key
from strata.sandbox.session import Session, State
from strata.sandbox.snapshots import Snapshot, Snapshots


@pytest.fixture
def store(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "snapshots", OwnerSettings(max_snapshots=2, snapshots_max="1M"))


def plant(store: Snapshots, name: str, *parents: str, size: int = 0, implicit: bool = False) -> Path:
    """A snapshot as one that was taken."""
    place = store.root / "alice" / name
    (place / "upper/dir").mkdir(parents=True)
    about = Snapshot(
        owner="alice", name=name, session="s", created_at=0.0, size=size, files=1, base="", parents=parents,
        implicit=implicit,
    )  # fmt: skip
    (place / "snapshot.json").write_bytes(msgspec.json.encode(about))
    return place


def session(*layers: Path, state: State = State.OPEN) -> Any:
    """As much of a session as the store looks at."""
    record = SimpleNamespace(layers=tuple(map(str, layers)))
    groups = SimpleNamespace(scope=SimpleNamespace(children=list), keepers=None)
    return SimpleNamespace(key=key("alice", "s"), record=record, state=state, groups=groups)


def names(store: Snapshots) -> list[str]:
    return [one.name for one in store.of("alice")]


def removed(store: Snapshots, name: str, *sessions: Session) -> None:
    asyncio.run(store.remove("alice", name, sessions))


def test_a_snapshot_leads_to_its_own_layer_and_those_it_stands_on(store: Snapshots) -> None:
    first, second = plant(store, "first"), plant(store, "second", "first")
    with store.used("alice", "second") as stack:
        assert stack.layers == (str(second), str(first))
        assert stack.base == ""
    with store.used("alice", None) as stack:
        assert (stack.layers, stack.base) == ((), None)


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "", "x\0"])
def test_a_name_leads_nowhere_else(store: Snapshots, name: str) -> None:
    with pytest.raises(InvalidArgument):
        store.get("alice", name)


def test_what_is_not_there_is_not_found(store: Snapshots) -> None:
    with pytest.raises(NotFound), store.used("alice", "none"):
        pass


def test_what_something_stands_on_is_not_removed(store: Snapshots) -> None:
    first = plant(store, "first")
    with pytest.raises(Conflict, match="s stand on it"):
        removed(store, "first", session(first))
    with store.used("alice", "first"), pytest.raises(Conflict, match="being opened"):
        removed(store, "first")
    plant(store, "second", "first")
    with pytest.raises(Conflict, match="snapshot second stand on it"):
        removed(store, "first")
    removed(store, "second")
    removed(store, "first")
    assert not (store.root / "alice").exists()


def test_what_was_made_for_a_fork_goes_with_the_last_that_stood_on_it(store: Snapshots) -> None:
    fork = plant(store, "fork-1", implicit=True)
    first, second = session(fork), session(fork)
    asyncio.run(store.release(first.record.layers, [second]))
    assert names(store) == ["fork-1"]
    asyncio.run(store.release(second.record.layers, []))
    assert names(store) == []


def test_a_chain_of_forks_goes_from_its_top(store: Snapshots) -> None:
    plant(store, "fork-1", implicit=True)
    plant(store, "kept", "fork-1")
    removed(store, "kept")
    assert names(store) == []


def test_an_owner_has_so_many_snapshots_and_no_more(store: Snapshots) -> None:
    plant(store, "first")
    plant(store, "second")
    with pytest.raises(ResourceExhausted, match="has 2 snapshots"):
        asyncio.run(store.take(session(), "third", None))  # type: ignore[arg-type]


def test_a_start_clears_up_what_was_never_finished_and_lets_the_session_go_on(store: Snapshots) -> None:
    plant(store, "kept")
    fork = plant(store, "fork-1", implicit=True)
    (store.root / "alice/.s.new-thaw/upper").mkdir(parents=True)
    (store.root / "alice/.gone.1234.new/upper").mkdir(parents=True)
    still = session(fork, state=State.FROZEN)
    asyncio.run(store.sweep([still]))
    assert sorted(path.name for path in (store.root / "alice").iterdir()) == ["fork-1", "kept"]
    assert still.state is State.OPEN
    asyncio.run(store.sweep([]))
    assert names(store) == ["kept"]


def test_a_removal_is_on_the_disk_before_it_is_answered(store: Snapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename alone may be undone by a power cut (fsync(2)): the snapshot would be there again."""
    place, seen = plant(store, "secret"), []
    monkeypatch.setattr("strata.durable.sync_directory", lambda path: seen.append((path, place.exists())))
    removed(store, "secret")
    assert seen == [(place.parent, False)]

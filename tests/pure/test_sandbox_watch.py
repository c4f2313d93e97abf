# SPDX-License-Identifier: MIT
"""Watching files: every change is told once, in order, with nobody polling."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from strata.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from strata.sandbox.files import watching

Events = Iterator[dict[str, Any]]


class Watched:
    """A watch that was begun, and the end that its caller holds."""

    def __init__(self, path: Path, recursive: bool) -> None:
        self._until, self._hold = os.pipe()
        self._events = watching.watch({"path": str(path), "recursive": recursive}, [self._until])
        self.first: dict[str, Any] = {}

    def begin(self) -> None:
        self.first = next(self._events)

    def next(self) -> tuple[str, str]:
        event = next(self._events)
        return event["event"], os.path.basename(event["path"])

    def next_whole(self) -> dict[str, Any]:
        return next(self._events)

    def rest(self) -> list[tuple[str, str]]:
        """Hang up, and what was told until that was seen."""
        os.close(self._hold)
        self._hold = -1
        return [(event["event"], os.path.basename(event["path"])) for event in self._events]

    def close(self) -> None:
        self._events.close()  # type: ignore[attr-defined]
        for fd in (self._until, self._hold):
            if fd >= 0:
                os.close(fd)


@pytest.fixture
def watch() -> Iterator[Callable[..., Watched]]:
    begun: list[Watched] = []

    def begin(path: Path, recursive: bool = False) -> Watched:
        begun.append(Watched(path, recursive))
        begun[-1].begin()
        return begun[-1]

    yield begin
    for one in begun:
        one.close()


def test_the_first_word_is_that_it_watches(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    assert watch(tmp_path).first["event"] == "watching"
    assert watch(tmp_path, True).first["directories"] == 3


def test_creation_change_and_removal_of_a_file_are_told(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    watched = watch(tmp_path)
    (tmp_path / "f").write_text("x")
    assert watched.next() == ("created", "f")
    assert watched.next() == ("modified", "f")
    (tmp_path / "f").chmod(0o600)
    assert watched.next() == ("attributes", "f")
    (tmp_path / "f").unlink()
    assert watched.next() == ("removed", "f")


def test_a_move_is_one_event(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    (tmp_path / "a").touch()
    watched = watch(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    event = watched.next_whole()
    assert (event["event"], event["from"], event["path"]) == ("moved", f"{tmp_path}/a", f"{tmp_path}/b")


def test_what_moves_away_is_removed_and_what_moves_in_is_created(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/f").touch()
    watched = watch(tmp_path / "in")
    (tmp_path / "in/f").rename(tmp_path / "out/f")
    assert watched.next() == ("removed", "f")
    (tmp_path / "out/f").rename(tmp_path / "in/g")
    assert watched.next() == ("created", "g")


def test_a_tree_takes_in_new_directories_and_tells_all_in_them_once(
    tmp_path: Path, watch: Callable[..., Watched]
) -> None:
    watched = watch(tmp_path, True)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").touch()
    assert sorted(watched.next() for _ in range(3)) == [("created", "a"), ("created", "b"), ("created", "f")]
    (tmp_path / "a/b/g").touch()
    assert watched.next() in {("created", "g"), ("attributes", "f")}


def test_below_a_directory_that_moved_paths_are_the_new_ones(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    (tmp_path / "a").mkdir()
    watched = watch(tmp_path, True)
    (tmp_path / "a").rename(tmp_path / "b")
    assert watched.next() == ("moved", "b")
    (tmp_path / "b/f").mkdir()
    assert watched.next_whole()["path"] == f"{tmp_path}/b/f"


def test_a_file_that_is_replaced_is_still_watched(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    (tmp_path / "f").touch()
    watched = watch(tmp_path / "f")
    (tmp_path / "other").touch()
    (tmp_path / "other").rename(tmp_path / "f")
    assert watched.next() == ("created", "f")
    (tmp_path / "f").unlink()
    assert watched.next() == ("removed", "f")


def test_it_ends_when_its_directory_is_gone(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    (tmp_path / "d").mkdir()
    watched = watch(tmp_path / "d")
    (tmp_path / "d").rmdir()
    assert watched.next() == ("ended", "d")
    with pytest.raises(StopIteration):
        watched.next()


def test_it_ends_when_its_caller_hangs_up(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    assert watch(tmp_path).rest() == []


def test_more_than_the_kernel_keeps_is_told_as_an_overflow(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    watched = watch(tmp_path)
    names = (tmp_path / "a", tmp_path / "b")
    names[0].touch()
    for number in range(most):
        names[number % 2].rename(names[1 - number % 2])
    assert ("overflow", tmp_path.name) in watched_until(watched, "overflow")


def watched_until(watched: Watched, event: str) -> set[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    while event not in {one for one, _ in seen}:
        seen.add(watched.next())
    return seen


def test_a_tree_with_too_many_directories_is_refused(
    tmp_path: Path, watch: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST_DIRECTORIES", 3)
    (tmp_path / "a/b/c").mkdir(parents=True)
    with pytest.raises(ResourceExhausted, match="more than 3 directories"):
        watch(tmp_path, True)


@pytest.mark.parametrize(
    ("path", "error"), [("/nowhere", NotFound), ("/proc", PermissionDenied), ("/dev/null", InvalidArgument)]
)
def test_what_cannot_be_watched_is_refused(path: str, error: type[Exception], watch: Callable[..., Watched]) -> None:
    with pytest.raises(error):
        watch(Path(path))

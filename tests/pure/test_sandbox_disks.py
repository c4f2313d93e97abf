# SPDX-License-Identifier: MIT
"""Empty disks that lie ready: whole copies, each given to one session only, and made anew when sessions have taken
some."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import Mock

import pytest

from strata.errors import StrataError
from strata.sandbox import disks
from strata.sandbox.disks import Disks
from strata.sandbox.layers import image

SIZE, INODES = 4 * 1024 * 1024, 64


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """A stock with something in place of an empty image: nothing here looks into it."""
    (tmp_path / Path(image._stocked("", SIZE, INODES)).name).write_bytes(b"empty" * 100)
    return tmp_path


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were to be mounted."""
    found: list[str] = []
    monkeypatch.setattr(image, "mount", lambda path, _target: found.append(path))
    return found


def _ready(stock: Path) -> list[Path]:
    return sorted(stock.glob("*.ready?"))


def test_some_copies_lie_ready_and_are_whole(stock: Path) -> None:
    image.restock(str(stock), SIZE, INODES)
    assert [path.read_bytes() for path in _ready(stock)] == [b"empty" * 100] * image.READY


def test_of_a_size_that_is_not_in_stock_there_are_none(stock: Path) -> None:
    image.restock(str(stock), SIZE * 2, INODES)
    assert _ready(stock) == []


def test_a_session_takes_one_which_is_its_own_file_then(stock: Path, mounted: list[str]) -> None:
    """It has the session's name only once it is mounted."""
    image.restock(str(stock), SIZE, INODES)
    image.mount_new(str(stock), SIZE, INODES, str(stock / "mine"), "there")
    assert len(mounted) == 1
    assert ".ready" in mounted[0]
    assert (stock / "mine").read_bytes() == b"empty" * 100
    assert len(_ready(stock)) == image.READY - 1
    assert not list(stock.glob("*.taken"))


def test_who_comes_when_all_are_taken_gets_a_copy_of_his_own(stock: Path, mounted: list[str]) -> None:
    image.restock(str(stock), SIZE, INODES)
    names = [str(stock / f"mine{number}") for number in range(image.READY + 2)]
    for name in names:
        image.mount_new(str(stock), SIZE, INODES, name, "there")
    assert mounted[image.READY :] == names[image.READY :]
    assert len(set(mounted)) == len(names)
    assert all(Path(name).read_bytes() == b"empty" * 100 for name in names)


def test_where_nothing_was_prepared_a_disk_is_made(
    tmp_path: Path, mounted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(image, "make", lambda _stock, _size, _inodes, target: made.append(target))
    image.mount_new(str(tmp_path / "no-such-stock"), SIZE, INODES, "mine", "there")
    assert made == mounted == ["mine"]


def test_one_that_could_not_be_mounted_is_nobody_elses(stock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something may be written in it."""
    image.restock(str(stock), SIZE, INODES)
    tried: list[str] = []

    def fails(path: str, _target: str) -> None:
        tried.append(path)
        raise OSError("no")

    monkeypatch.setattr(image, "mount", fails)
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            image.mount_new(str(stock), SIZE, INODES, str(stock / "mine"), "there")
    image.restock(str(stock), SIZE, INODES)
    assert len(set(tried)) == 2
    assert len(list(stock.glob("*.taken"))) == 2


def test_after_many_sessions_they_are_made_anew_once(stock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "REST_SECONDS", 0.01)
    limits = Mock(disk_max=str(SIZE), inodes_max=INODES)
    asked: list[int] = []
    monkeypatch.setattr(image, "restock", lambda _stock, size, _inodes: asked.append(size))

    async def many() -> None:
        ready = Disks(stock)
        await asyncio.gather(*(ready.restock(Mock(mapped=True, limits=limits)) for _ in range(50)))
        await ready.restock(Mock(mapped=False, limits=limits))

    asyncio.run(many())
    assert asked == [SIZE]


def test_a_full_disk_is_told(stock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the log: the session is open by then. Nothing unfinished is left."""
    monkeypatch.setattr(disks, "REST_SECONDS", 0.0)

    def full(_source: int, _target: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image, "copy_data", full)
    limits = Mock(disk_max=str(SIZE), inodes_max=INODES)
    with pytest.raises(StrataError, match="cannot have empty disks ready: No space left"):
        asyncio.run(Disks(stock).restock(Mock(mapped=True, limits=limits)))
    assert len(list(stock.iterdir())) == 1

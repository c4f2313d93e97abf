# SPDX-License-Identifier: MIT
"""A directory that comes out of a session: its archive was made by whoever is in there, and must not reach beyond."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from strata.cli import cp_tree
from strata.cli.landing import landing
from strata.errors import Internal


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"", mode: int = 0o644
) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode, found.size = kind, link, mode, len(data)
    return found, data


def unpack(target: Path, *members: tuple[tarfile.TarInfo, bytes], cut: int | None = None) -> cp_tree.Unpacking:
    """As `cp` does it, from a pipe."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    target.mkdir()
    unpacking = cp_tree.Unpacking(str(target))
    with cp_tree._beside(unpacking.all, writes=False) as writer:
        rest = memoryview(packed.getvalue()[:cut])
        while rest:
            rest = rest[os.write(writer, rest) :]
    return unpacking


def test_files_directories_and_links_arrive(tmp_path: Path) -> None:
    """With mode and time; an inner link stays one, and a second name is a second name."""
    found, data = member("./sub/f", data=b"hello", mode=0o755)
    found.mtime = 1_000_000
    unpacking = unpack(
        tmp_path / "t",
        member(".", tarfile.DIRTYPE),
        member("./sub", tarfile.DIRTYPE, mode=0o700),
        (found, data),
        member("./sub/l", tarfile.SYMTYPE, "../other/x"),
        member("./h", tarfile.LNKTYPE, "./sub/f"),
    )
    assert unpacking.left_out == []
    assert (tmp_path / "t/sub/f").read_bytes() == b"hello"
    assert stat.S_IMODE((tmp_path / "t/sub/f").stat().st_mode) == 0o755
    assert (tmp_path / "t/sub/f").stat().st_mtime == 1_000_000
    assert os.readlink(tmp_path / "t/sub/l") == "../other/x"
    assert (tmp_path / "t/h").samefile(tmp_path / "t/sub/f")


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../evil", tarfile.REGTYPE, ""),
        ("a/../../evil", tarfile.REGTYPE, ""),
        ("l", tarfile.SYMTYPE, "/etc/passwd"),
        ("l", tarfile.SYMTYPE, "../evil"),
        ("a/l", tarfile.SYMTYPE, "../../evil"),
        ("h", tarfile.LNKTYPE, "../evil"),
        ("n", tarfile.CHRTYPE, ""),
        ("n", tarfile.FIFOTYPE, ""),
    ],
)
def test_what_leads_out_or_is_no_file_is_left_out(tmp_path: Path, name: str, kind: bytes, link: str) -> None:
    """And told, and the rest arrives."""
    (tmp_path / "evil").write_text("untouched")
    unpacking = unpack(tmp_path / "t", member(name, kind, link), member("good", data=b"x"))
    assert len(unpacking.left_out) == 1
    assert unpacking.left_out[0].startswith(name)
    assert (tmp_path / "evil").read_text() == "untouched"
    assert sorted(path.name for path in (tmp_path / "t").rglob("*") if not path.is_dir()) == ["good"]


@pytest.mark.parametrize(
    "way",
    [
        lambda: (member("d", tarfile.SYMTYPE, "sub"), member("d/f", data=b"x")),
        lambda: (member("f", tarfile.SYMTYPE, "g"), member("f", data=b"x")),
        lambda: (member("f", data=b"x"), member("f/g", data=b"x")),
        lambda: (member("l", tarfile.SYMTYPE, "g"), member("h", tarfile.LNKTYPE, "no")),
    ],
)
def test_no_link_of_the_archive_is_followed(
    tmp_path: Path, way: Callable[[], tuple[tuple[tarfile.TarInfo, bytes], ...]]
) -> None:
    """An archive that uses a link as a directory, or writes a name twice, is not one that we made: the copy fails."""
    with pytest.raises(Internal, match="cannot copy all of it"):
        unpack(tmp_path / "t", *way())
    assert not (tmp_path / "t/sub").exists()
    assert not (tmp_path / "t/g").exists()


def test_nobody_gets_rights_by_a_copy(tmp_path: Path) -> None:
    """No setuid bit, and nothing that others may write."""
    unpack(tmp_path / "t", member("s", data=b"x", mode=0o6777), member("d", tarfile.DIRTYPE, mode=0o1777))
    assert stat.S_IMODE((tmp_path / "t/s").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "t/d").stat().st_mode) == 0o755


def test_an_archive_that_breaks_off_is_no_success(tmp_path: Path) -> None:
    """The session was closed meanwhile, say."""
    with pytest.raises(Internal, match="cannot copy all of it"):
        unpack(tmp_path / "t", member("f", data=b"x"), cut=512)


def test_a_file_that_arrives_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    """Until then the old one is there, and after a failure nothing else."""
    target = tmp_path / "f"
    target.write_text("old")
    with pytest.raises(OSError, match="descriptor"), landing(str(target)) as fd:
        os.write(fd + 1000, b"new")
    assert (target.read_text(), os.listdir(tmp_path)) == ("old", ["f"])
    with landing(str(target), 0o777) as fd:
        os.write(fd, b"new")
        assert target.read_text() == "old"
    assert (target.read_text(), os.listdir(tmp_path)) == ("new", ["f"])

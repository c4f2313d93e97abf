# SPDX-License-Identifier: MIT
"""Layers as they lie on the disk: what is a change, what an archive and a copy of them hold."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from strata.errors import ResourceExhausted
from strata.sandbox.files import archive, copying, diff
from strata.sandbox.files.archive import Choice
from strata.sandbox.files.diff import Layers
from strata.sandbox.files.overlay import MARKS
from strata.sandbox.files.tarring import Archive

MARK = "user.overlay."  # what everybody may set


class Trees(NamedTuple):
    """An upper layer and what is below it."""

    upper: Path
    lower: Path


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    found = Trees(tmp_path / "upper", tmp_path / "lower")
    for path in found:
        path.mkdir()
    return found


def fill(top: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)


def whiteout(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR, 0)


def changed(trees: Trees, driver: str = "kernel-user") -> dict[str, str]:
    """Path → kind, over all pages."""
    found: dict[str, str] = {}
    after: tuple[bytes, ...] | None = ()
    while after is not None:
        told, after = page(trees, after, driver)
        found |= {one["path"]: one["kind"] + ("*" if one.get("metadata") else "") for one in told}
    return found


def page(trees: Trees, after: tuple[bytes, ...], driver: str) -> Any:
    upper, lower = (os.open(path, os.O_RDONLY) for path in trees)
    try:
        return diff.page(Layers(upper, lower, MARKS[driver]), after)
    finally:
        os.close(upper)
        os.close(lower)


def copy_times(source: Path, target: Path) -> None:
    found = source.stat()
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


# --- what has changed


def test_new_files_and_directories_are_added(trees: Trees) -> None:
    fill(trees.upper, {"a/b/c": "x"})
    (trees.upper / "link").symlink_to("a")
    assert changed(trees) == {"/a": "added", "/a/b": "added", "/a/b/c": "added", "/link": "added"}


def test_a_directory_that_only_holds_changes_is_none_itself(trees: Trees) -> None:
    fill(trees.lower, {"etc/old": "x"})
    fill(trees.upper, {"etc/new": "x"})
    assert changed(trees) == {"/etc/new": "added"}


def test_content_makes_a_modification_and_a_mere_copy_does_not(trees: Trees) -> None:
    fill(trees.lower, {"same": "text", "longer": "text", "sly": "text"})
    fill(trees.upper, {"same": "text", "longer": "text and more", "sly": "tent"})
    for name in ("same", "sly"):  # as a copy up keeps the time, and as somebody who hides his change sets it back
        copy_times(trees.lower / name, trees.upper / name)
    assert changed(trees) == {"/longer": "modified", "/sly": "modified"}


def test_mode_and_attributes_alone_are_told_as_metadata(trees: Trees) -> None:
    for tree in trees:
        fill(tree, {"mode": "x", "attribute": "x"})
        (tree / "dir").mkdir()
    (trees.upper / "mode").chmod(0o600)
    (trees.upper / "dir").chmod(0o700)
    os.setxattr(trees.upper / "attribute", "user.note", b"n")
    for name in ("mode", "attribute"):
        copy_times(trees.lower / name, trees.upper / name)
    assert changed(trees) == {"/mode": "modified*", "/dir": "modified*", "/attribute": "modified*"}


def test_a_whiteout_is_a_removal_of_the_whole_tree_below(trees: Trees) -> None:
    fill(trees.lower, {"gone/a/b": "x", "file": "x"})
    whiteout(trees.upper / "gone")
    whiteout(trees.upper / "file")
    whiteout(trees.upper / "never was")
    assert changed(trees) == {"/gone": "removed", "/file": "removed"}


def test_a_whiteout_may_be_an_attribute_of_an_empty_file(trees: Trees) -> None:
    fill(trees.lower, {"gone": "x", "emptied": "x"})
    fill(trees.upper, {"gone": "", "emptied": ""})
    os.setxattr(trees.upper / "gone", MARK + "whiteout", b"y")
    assert changed(trees) == {"/gone": "removed", "/emptied": "modified"}


def test_the_marks_of_another_driver_are_just_attributes(trees: Trees) -> None:
    """Whoever is inside may set user.overlay.* where the overlay keeps its notes in trusted.*."""
    fill(trees.lower, {"here": "x"})
    fill(trees.upper, {"here": ""})
    os.setxattr(trees.upper / "here", MARK + "whiteout", b"y")
    assert changed(trees, "kernel") == {"/here": "modified"}


def test_an_opaque_directory_hides_all_that_is_not_in_it(trees: Trees) -> None:
    fill(trees.lower, {"d/old": "x", "d/both": "x", "d/sub/deep": "x"})
    fill(trees.upper, {"d/new": "x", "d/both": "changed"})
    os.setxattr(trees.upper / "d", MARK + "opaque", b"y")
    assert changed(trees) == {"/d/new": "added", "/d/both": "modified", "/d/old": "removed", "/d/sub": "removed"}


def test_below_a_new_directory_in_place_of_a_file_all_is_added(trees: Trees) -> None:
    fill(trees.lower, {"x": "file"})
    fill(trees.upper, {"x/y": "z"})
    assert changed(trees) == {"/x": "modified", "/x/y": "added"}


def test_a_link_that_points_elsewhere_is_modified(trees: Trees) -> None:
    for tree, target in ((trees.upper, "b"), (trees.lower, "a")):
        (tree / "moved").symlink_to(target)
        (tree / "same").symlink_to("c")
    assert changed(trees) == {"/moved": "modified"}


def test_names_that_begin_with_wh_are_whiteouts_of_fuse_overlayfs_alone(trees: Trees) -> None:
    fill(trees.lower, {"gone": "x", "d/hidden": "x"})
    fill(trees.upper, {".wh.gone": "", "d/.wh..wh..opq": ""})
    assert changed(trees, "fuse") == {"/gone": "removed", "/d/hidden": "removed"}
    assert changed(trees, "kernel") == {"/.wh.gone": "added", "/d/.wh..wh..opq": "added"}


def test_pages_hold_every_change_once(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(trees.lower, {"d/gone": "x", "e/f": "x"})
    fill(trees.upper, {**{f"d/{n}/file": "x" for n in range(40)}, "e/f": "changed", "z": "x"})
    whiteout(trees.upper / "d/gone")
    whole = changed(trees)
    monkeypatch.setattr(diff, "PAGE_BYTES", 150)
    assert changed(trees) == whole
    assert len(whole) == 83


def test_a_tree_too_deep_for_paths_is_told_and_not_gone_into(trees: Trees) -> None:
    fd = os.open(trees.upper, os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=fd)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    told, _ = page(trees, (), "kernel")
    assert told[-1]["deeper"]
    assert len(told) == 21
    subprocess.run(["rm", "-rf", trees.upper], check=True)


# --- archives


def tar_of(top: Path, **choice: Any) -> tuple[archive.Left, bytes]:
    fd, source = os.memfd_create("tar"), os.open(top, os.O_RDONLY)
    try:
        out = Archive(fd)
        left = archive.write_tree(out, source, Choice(**choice))
        out.end()
        data = os.pread(fd, out.size, 0)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (out.size, out.sha256)
        return left, data
    finally:
        os.close(fd)
        os.close(source)


def unpack(data: bytes, into: Path) -> None:
    """By GNU tar, as its users would."""
    into.mkdir()
    subprocess.run(["tar", "-x", "--xattrs", "-C", into, "-f", "-"], input=data, check=True)


def test_gnu_tar_reads_what_was_there(trees: Trees, tmp_path: Path) -> None:
    fill(trees.upper, {"a/file": "text", "a/" + "n" * 200 + "/deep": "x", "b\nc": "newline"})
    (trees.upper / "a/file").chmod(0o640)
    (trees.upper / "a/link").symlink_to("file")
    os.link(trees.upper / "a/file", trees.upper / "a/other")
    os.mkfifo(trees.upper / "fifo")
    os.setxattr(trees.upper / "a/file", "user.note", b"\xff\n=")
    os.utime(trees.upper / "a/file", (0, 1_000_000_000))
    left, data = tar_of(trees.upper, attributes=True)
    unpack(data, out := tmp_path / "out")
    assert left == archive.Left()
    subprocess.run(["diff", "-r", "--no-dereference", trees.upper / "a", out / "a"], check=True)
    found = (out / "a/file").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime, found.st_nlink) == (0o640, 1_000_000_000, 2)
    assert os.getxattr(out / "a/file", "user.note") == b"\xff\n="
    assert os.readlink(out / "a/link") == "file"
    assert stat.S_ISFIFO((out / "fifo").stat().st_mode)
    assert (out / "b\nc").read_text() == "newline"


def test_names_that_are_not_utf8_come_through(trees: Trees, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    fill(trees.upper, {name: "x"})
    unpack(tar_of(trees.upper)[1], tmp_path / "out")
    assert os.listdir(tmp_path / "out") == [name]


def test_a_file_of_a_terabyte_of_nothing_is_small(trees: Trees, tmp_path: Path) -> None:
    with (trees.upper / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 30)
        file.write(b"data")
    data = tar_of(trees.upper)[1]
    assert len(data) < 100_000
    unpack(data, out := tmp_path / "out")
    found = (out / "sparse").stat()
    assert (found.st_size, found.st_blocks * 512 < 1 << 20) == (1 << 40, True)
    with (out / "sparse").open("rb") as file:
        file.seek(1 << 30)
        assert file.read(4) == b"data"


def test_a_file_that_ends_in_a_hole_comes_through(trees: Trees, tmp_path: Path) -> None:
    (trees.upper / "f").write_bytes(b"x" * 5000)
    os.truncate(trees.upper / "f", 1 << 20)
    data = tar_of(trees.upper)[1]
    unpack(data, out := tmp_path / "out")
    assert (out / "f").read_bytes() == (trees.upper / "f").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.extractfile("f")
        assert member
        assert member.read() == (trees.upper / "f").read_bytes()


def test_owners_are_those_inside(trees: Trees) -> None:
    fill(trees.upper, {"f": "x"})
    uid = os.getuid()
    data = tar_of(trees.upper, uid_base=uid)[1] if uid else tar_of(trees.upper)[1]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {(member.uid, member.gid) for member in tar}.pop()[0] == 0


def test_a_layer_is_written_as_images_are(trees: Trees) -> None:
    fill(trees.upper, {"d/new": "x"})
    os.setxattr(trees.upper / "d", MARK + "opaque", b"y")
    whiteout(trees.upper / "gone")
    with tarfile.open(fileobj=io.BytesIO(tar_of(trees.upper, marks=MARKS["kernel-user"])[1])) as tar:
        assert tar.getnames() == [".", "d", "d/.wh..wh..opq", "d/new", ".wh.gone"]


def test_what_an_archive_cannot_hold_is_counted(trees: Trees) -> None:
    os.mknod(trees.upper / "socket", stat.S_IFSOCK | 0o600)
    assert tar_of(trees.upper)[0] == archive.Left(0, 1)


def test_a_reader_that_goes_away_ends_the_archive(trees: Trees) -> None:
    (trees.upper / "big").write_bytes(bytes(1 << 22))
    read, write = os.pipe()
    os.close(read)
    source = os.open(trees.upper, os.O_RDONLY)
    with pytest.raises(BrokenPipeError):
        archive.write_tree(Archive(write), source, Choice())
    os.close(source)
    os.close(write)


# --- copies


def copy(source: Path, target: Path, driver: str = "kernel-user", most: int = 1 << 40) -> copying.Copied:
    target.mkdir()
    here, there = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    try:
        return copying.copy_layer(here, there, MARKS[driver], most)
    finally:
        os.close(here)
        os.close(there)


def test_a_copy_is_what_the_layer_was(trees: Trees, tmp_path: Path) -> None:
    fill(trees.upper, {"a/file": "text", "b/c/d": "x"})
    os.link(trees.upper / "a/file", trees.upper / "b/again")
    (trees.upper / "a/link").symlink_to("/etc/passwd")
    os.mkfifo(trees.upper / "fifo")
    (trees.upper / "fifo").chmod(0o620)
    (trees.upper / "a/file").chmod(0o4751)
    os.setxattr(trees.upper / "a/file", "user.note", b"n")
    os.setxattr(trees.upper / "a", MARK + "opaque", b"y")
    os.setxattr(trees.upper / "a", MARK + "origin", b"elsewhere")
    whiteout(trees.upper / "gone")
    os.utime(trees.upper / "b", (1, 2))
    copied = copy(trees.upper, out := tmp_path / "out")
    assert copied.files == 9
    for name in ("a", "b"):  # diff has no word for two FIFOs
        subprocess.run(["diff", "-r", "--no-dereference", trees.upper / name, out / name], check=True)
    assert sorted(os.listdir(out)) == sorted(os.listdir(trees.upper))
    assert (out / "a/file").samefile(out / "b/again")
    assert stat.S_IMODE((out / "a/file").stat().st_mode) == 0o4751
    assert stat.S_IMODE((out / "fifo").stat().st_mode) == 0o620
    assert os.getxattr(out / "a/file", "user.note") == b"n"
    assert {MARK + "opaque"} <= set(os.listxattr(out / "a"))
    assert MARK + "origin" not in os.listxattr(out / "a")
    assert ((out / "gone").lstat().st_rdev, stat.S_ISCHR((out / "gone").lstat().st_mode)) == (0, True)
    assert (out / "b").stat().st_mtime == 2


def test_holes_stay_holes(trees: Trees, tmp_path: Path) -> None:
    with (trees.upper / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 30)
        file.write(b"data")
    assert copy(trees.upper, tmp_path / "out").size < 100_000
    found = (tmp_path / "out/sparse").stat()
    assert (found.st_size, found.st_blocks * 512 < 1 << 20) == (1 << 40, True)


def test_a_layer_of_fuse_overlayfs_becomes_one_for_every_driver(trees: Trees, tmp_path: Path) -> None:
    fill(trees.upper, {".wh.gone": "", "d/.wh..wh..opq": "", "d/f": "x"})
    copy(trees.upper, out := tmp_path / "out", "fuse-user")
    assert stat.S_ISCHR((out / "gone").lstat().st_mode)
    assert sorted(os.listdir(out / "d")) == ["f"]
    assert set(os.listxattr(out / "d")) == {"user.overlay.opaque", "user.fuseoverlayfs.opaque"}


def test_a_copy_that_would_be_too_large_ends(trees: Trees, tmp_path: Path) -> None:
    (trees.upper / "big").write_bytes(bytes(1 << 20))
    with pytest.raises(ResourceExhausted, match="more than 1000000 bytes"):
        copy(trees.upper, tmp_path / "out", most=1_000_000)

# SPDX-License-Identifier: MIT
"""strata/sandbox/files/{archive,diff,copying,removing}.py on trees with any names, marks and times of a session."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from targets.shape import Taken

from strata.sandbox.files import archive, copying, diff, removing
from strata.sandbox.files.archive import Choice
from strata.sandbox.files.diff import Layers
from strata.sandbox.files.overlay import MARKS
from strata.sandbox.files.tarring import Archive

INSTRUMENT = ("strata.sandbox.files",)
_NAMES = (
    *(b"a", b"b", b"c", b".wh.a", b".wh..wh..opq", b".wh.", b".wh..", b"\xc3\xa9", b"\xff\xfe", b"a\nb", b"\\", b" "),
    *(b"x" * 255, b"GNUSparseFile.0", b"=", b"path=x", b"-rf", b"..a"),
)
_TIMES = (0, 10**9, 2**33 * 10**9, -(10**9), 1_500_000_000_123_456_789)
_ATTRIBUTES = (
    *("user.overlay.opaque", "user.overlay.whiteout", "user.fuseoverlayfs.opaque", "user.x", "trusted.overlay.opaque"),
    *("user.overlay.origin", "user.\u00e9=\n"),
)
SEEDS = (
    b"\x00\x01\x00\x00\x02hi\x01\x02\x01\x00\x00\x03\x00\x05",
    b"\x02\x00\x02\x00\x01\x00\x03\x00\x04\x05\x00\x00\x06\x08\x00",
    b"\x03\x01\x02\x00\x02\x02\x00\x00\x02\x04\x00\x06\x01\x05\x02/x\xff\x01\x07\x00\x01",
    b"\x01\x00\x00\x00\x04text\x01\x00\x00\x04text\x00\x07\x00\x02\x00\x08\x00\x03y\xff",
)
DICTIONARY = (b"/../x\xff", b"\x08\x00\x00y\xff", b"\x07\x00\x03")
_DIRECTORY = Path(tempfile.mkdtemp(prefix="strata-fuzz-layers-")).resolve()


def teardown() -> None:
    shutil.rmtree(_DIRECTORY)


def check(data: bytes) -> None:
    """The first byte chooses the driver; then steps that make two trees."""
    taken = Taken(data)
    marks = MARKS[taken.choice(tuple(MARKS))]
    top = Path(tempfile.mkdtemp(dir=_DIRECTORY))
    lower, upper, copy = top / "lower", top / "upper", top / "copy"
    for directory in (lower, upper, copy):
        directory.mkdir()
    while taken:
        _step(taken, bytes(lower if taken.byte() % 2 else upper))
    with contextlib.ExitStack() as stack:
        fds = [_opened(stack, directory) for directory in (upper, lower, copy)]
        whole = _archived(fds[0], Choice(attributes=True))
        shown = _archived(fds[0], Choice(marks=marks))
        assert {*_below(upper), b"."} == set(whole), {*_below(upper), b"."} ^ set(whole)
        assert _archived(fds[0], Choice(marks=marks)) == shown
        _changes(Layers(fds[0], fds[1], marks))
        copied = copying.copy_layer(fds[0], fds[2], marks, 1 << 30)
        assert copied.files <= sum(len(names) + len(files) for _, names, files in os.walk(upper))
        if not list(upper.rglob(".wh.*")):
            again = _archived(fds[2], Choice(marks=marks))
            assert _meant(again) == _meant(shown), (again, shown)
    removing.erase(top)
    assert not top.exists()


def _opened(stack: contextlib.ExitStack, directory: Path) -> int:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, fd)
    return fd


def _meant(members: dict[bytes, tuple[bytes, str, int]]) -> dict[bytes, tuple[bytes, str, int]]:
    return {name: (kind, link, size) for name, (kind, link, size) in members.items() if kind != tarfile.DIRTYPE}


def _step(taken: Taken, tree: bytes) -> None:
    """One change of a tree; what cannot be done is left."""
    way = taken.byte() % 9
    path = os.path.join(tree, *(taken.choice(_NAMES) for _ in range(taken.byte() % 3 + 1)))
    if os.path.realpath(os.path.dirname(path)) != os.path.dirname(path):
        return  # a link is on the way: this is no session, and whoever runs it may write anywhere
    ways: tuple[Callable[[], object], ...] = (
        lambda: _file(path, taken.take(taken.byte() % 32)),
        lambda: os.mkdir(path),
        lambda: os.mkdir(path),
        lambda: os.symlink(taken.choice((b"/nonexistent/", b".", b"a", b"a/b")) + taken.piece(), path),
        lambda: os.mkfifo(path),
        lambda: os.mknod(path, 0o020000, 0),
        lambda: os.link(os.path.join(tree, taken.choice(_NAMES)), path, follow_symlinks=False),
        lambda: os.utime(path, ns=(0, taken.choice(_TIMES)), follow_symlinks=False),
        lambda: os.setxattr(path, taken.choice(_ATTRIBUTES), taken.piece(), follow_symlinks=False),
    )
    with contextlib.suppress(OSError, ValueError):
        ways[way]()


def _file(path: bytes, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
        file.seek(len(content) % 5 * 65_536)
        file.write(content)


def _below(tree: Path) -> list[bytes]:
    top = bytes(tree)
    return [
        os.path.relpath(os.path.join(directory, name), top)
        for directory, names, files in os.walk(top)
        for name in (*names, *files)
        if not stat.S_ISCHR(os.lstat(os.path.join(directory, name)).st_mode)
    ]


def _archived(fd: int, choice: Choice) -> dict[bytes, tuple[bytes, str, int]]:
    """What the standard library reads in it: name to kind, target and size."""
    with tempfile.TemporaryFile() as file:
        out = Archive(file.fileno())
        left = archive.write_tree(out, fd, choice)
        out.end()
        assert out.size == os.fstat(file.fileno()).st_size
        assert out.size % 10_240 == 0
        assert left.changed == 0
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as reader:
            members = reader.getmembers()
            for member in members:
                if member.isreg():
                    assert len(reader.extractfile(member).read()) == member.size  # type: ignore[union-attr]
    found = {os.fsencode(one.name): (one.type, one.linkname, one.size) for one in members}
    # What a session calls `.wh.a` looks like the mark that `a` is gone: the format of layers knows no way out.
    assert choice.marks or len(found) == len(members), "a name stands in it twice"
    return found


def _changes(layers: Layers) -> None:
    """Pages of any size are the whole of it, in order, and each can be told."""
    whole = [diff._told(change) for change in diff.changes(layers)]
    paged, after = [], diff.Path(())
    usual, diff.PAGE_BYTES = diff.PAGE_BYTES, 200  # type: ignore[misc]
    try:
        while True:
            page, last = diff.page(layers, after)
            paged += page
            if last is None:
                break
            assert page
            after = last
    finally:
        diff.PAGE_BYTES = usual  # type: ignore[misc]
    assert paged == whole
    msgspec.json.encode(whole)

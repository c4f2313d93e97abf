# SPDX-License-Identifier: MIT
"""`strata-ctl cp` of a directory out of a session: a tar stream that says what it likes, unpacked on this machine.

Whatever comes: nothing outside the directory is made, changed or followed; no file has rights that a copy would not
have; sizes that lie make nothing large; what is wrong is an OSError, a TarError or one of the eight.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path

from hostile.script import Script

from strata.cli.cp_tree import Unpacking
from strata.errors import StrataError

INSTRUMENT = ("strata.cli", "tarfile")
MAX_LEN = 4096
DICTIONARY = (
    b"../", b"/etc/passwd", b"ustar  \0", b"ustar\x0000", b"./", b"\0", b"29 mtime=99999999999999999999\n", b"\xff" * 8,
    b"27 path=../../../tmp/outside\n", b"0777777\0", b"L", b"K", b"x", b"g", b"16 GNU.sparse.map=0,1\n",
    b"20 linkpath=../x\n",
)  # fmt: skip
_NAMES = ("a", "b", "a/b", "./a/../../x", "/abs", "..", "a/b/c", "d\nx", "", "a//b", "out/x", "out", "x" * 300)
_LINKS = ("a", "..", "../..", "/", "a/../../..", "out", "../outside/kept", "/proc/self/root", "")
_KINDS = (
    tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
    tarfile.BLKTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z",
)  # fmt: skip
_MODES = (0o644, 0o7777, 0, 0o4755, 0o1777)
_where = Path()


def _entry(name: int, kind: int, mode: int = 0, link: int = 0, size: int = 3, time: int = 0) -> bytes:
    return bytes([name, kind, mode, link, time, size]) + b"x" * size


def _tar(kind: int, pax: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind, pax_headers=pax) as archive:
        member = tarfile.TarInfo("a/" + "long" * (1 if pax else 40))
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    return b"\x01" + file.getvalue().rstrip(b"\0")


SEEDS = (
    b"\x00" + _entry(0, 1) + _entry(2, 0) + _entry(1, 2, 0, 0, 0),
    b"\x00" + _entry(0, 2, 0, 1, 0) + _entry(2, 0),
    b"\x00" + _entry(1, 0) + _entry(0, 3, 3, 4, 0) + _entry(9, 3, 0, 0, 0),
    b"\x00" + _entry(3, 0) + _entry(4, 0) + _entry(5, 1) + _entry(10, 0, 1),
    *(b"\x00" + _entry(0, 0, 0, 0, 3, number) for number in range(8)),
    _tar(tarfile.GNU_FORMAT, {}),
    _tar(tarfile.PAX_FORMAT, {"mtime": "1.5", "path": "b", "comment": "x"}),
    b"\x00" + b"".join(_entry(8 + number, number, 1) for number in range(10)),
)


def setup() -> None:
    global _where
    _where = Path(tempfile.mkdtemp(prefix="strata-unpack-"))
    outside = _where / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")


def teardown() -> None:
    shutil.rmtree(_where)


def check(data: bytes) -> None:
    """The first byte says whether the rest is a tar as it is, or a script of entries."""
    script = Script(data)
    raw = script.byte() & 1
    archive = script.rest() if raw else _archive(script)
    target = _where / "target"
    target.mkdir()
    (_where / "stream").write_bytes(archive)
    outside = _outside()
    unpacking = Unpacking(str(target))
    try:
        with (_where / "stream").open("rb") as stream:
            unpacking.all(stream.fileno())
    except (OSError, tarfile.TarError, StrataError):
        pass
    try:
        assert _outside() == outside, "something outside was made or changed"
        _judge(target, len(archive))
    finally:
        shutil.rmtree(target)


def _archive(script: Script) -> bytes:
    """Entries in a tar whose headers add up."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        while script and file.tell() < 200_000:
            member = tarfile.TarInfo(script.one(_NAMES))
            member.type, member.mode = script.one(_KINDS), script.one(_MODES)
            member.linkname = script.one(_LINKS)
            member.mtime = (0, 1, 1 << 31, 1 << 62, -1, 1e300, 0.5, -(1 << 62))[script.byte() % 8]
            content = script.some()
            member.size = len(content)
            if member.issym() or member.islnk() or member.type not in tarfile.REGULAR_TYPES:
                member.size = 0
            archive.addfile(member, io.BytesIO(content) if member.size else None)
    return file.getvalue()


def _judge(target: Path, told: int) -> None:
    total = 0
    for directory, names, files in os.walk(target):
        for name in (*names, *files):
            found = os.lstat(os.path.join(directory, name))
            assert stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode), name
            assert stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o7022, (name, oct(found.st_mode))
            assert found.st_dev == _where.stat().st_dev
            total += found.st_size if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else 0
            if stat.S_ISLNK(found.st_mode):
                to = os.path.normpath(os.path.join(directory, os.readlink(os.path.join(directory, name))))
                assert os.path.commonpath([to, target]) == str(target), f"{name} leads to {to}"
    assert total <= 2 * told + 1_048_576, f"{total} bytes of {told}"


def _outside() -> dict[str, tuple[int, int, int]]:
    """All there is but the target itself."""
    return {
        str(path): (found.st_ino, found.st_mode, found.st_mtime_ns if stat.S_ISREG(found.st_mode) else 0)
        for path in (_where / "outside", _where / "outside" / "kept", *_where.iterdir())
        if path.name != "target"
        for found in (path.lstat(),)
    }

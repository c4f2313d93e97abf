# SPDX-License-Identifier: MIT
"""Directories into a session and out of it, as a stream of tar that is never a file.

Into a session it is tar inside that unpacks, confined as everything there. Out of one it is us, and nothing of what the
session says is trusted: every name is entered step by step without following a link, into a directory made for it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from strata.cli import output, sandboxes
from strata.cli.landing import umask
from strata.cli.place import Place
from strata.cli.table import printable
from strata.errors import Conflict, Internal

_PIECE = 1 << 20


def put(source: str, to: Place, target: str, token_file: str) -> None:
    """Copy a directory of this machine to `target` in a session. Raises StrataError."""
    count = [0]

    def keep(member: tarfile.TarInfo) -> tarfile.TarInfo:
        count[0] += 1
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    def write(fd: int) -> None:
        with open(fd, "wb", closefd=False) as pipe, tarfile.open(fileobj=pipe, mode="w|", bufsize=_PIECE) as archive:
            archive.add(source, ".", filter=keep)

    with sandboxes.connect(token_file) as room:
        room.call("mkdir", {**to.params(), "path": target, "parents": True})
        # -o: files belong to root inside, whoever owned them here; both GNU's and busybox' tar know it.
        argv = ["tar", "-x", "-o", "-f", "-", "-C", target]
        with _beside(write, writes=True) as reader:
            result = room.run({**to.params(), "argv": argv}, {"stdin": reader})
    if result.get("exit_code") != 0:
        raise Internal(f"cannot copy {source}: tar in the session failed: {printable(result.get('stderr', ''))[-500:]}")
    output.note(f"{source} -> {to}:{target} ({count[0]} entries)")


def get(source: Place, origin: str, target: str, token_file: str) -> None:
    """Copy a directory of a session to `target` here, which must not be there yet. Raises StrataError."""
    try:
        os.mkdir(target, 0o700)
    except FileExistsError as error:
        raise Conflict(f"cannot copy to {target}: it is there already") from error
    unpacking = Unpacking(target)
    with sandboxes.connect(token_file) as room, _beside(unpacking.all, writes=False) as writer:
        room.get("export", {**source.params(), "path": origin}, writer)
    os.chmod(target, 0o777 & ~umask())
    output.note(f"{source}:{origin} -> {target} ({unpacking.count} entries)")
    if unpacking.left_out:
        raise Conflict(f"cannot copy all of it: left out {', '.join(map(printable, unpacking.left_out[:20]))}")


@contextlib.contextmanager
def _beside(work: Callable[[int], None], writes: bool) -> Iterator[int]:
    """Our end of a pipe whose other end a thread works at; waits for it, and raises what it raised."""
    reader, writer = os.pipe()
    ours, its = (reader, writer) if writes else (writer, reader)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work(its)
        except BrokenPipeError:
            pass  # the other side ended early, and says why
        except Exception as error:  # noqa: BLE001  raised by who waits: a thread that dies in silence has copied nothing
            failures.append(error)
        finally:
            os.close(its)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        yield ours
    finally:
        os.close(ours)
        worker.join()
    if failures:
        raise Internal(f"cannot copy all of it: {failures[0]}") from failures[0]


class Unpacking:
    """One archive on its way into a directory of ours. `left_out`: names with the reason why they are not there."""

    def __init__(self, target: str) -> None:
        self.target, self.count = target, 0
        self.left_out: list[str] = []

    def all(self, fd: int) -> None:
        """Unpack what comes from `fd` until it ends. Raises OSError, TarError."""
        root = os.open(self.target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._all(root, fd)
        except (OSError, tarfile.TarError):
            raise
        except Exception as error:  # the library's reader raises whatever a header made on purpose leads it to
            raise tarfile.ReadError(f"it is no archive that can be read ({error!r})") from error
        finally:
            os.close(root)

    def _all(self, root: int, fd: int) -> None:
        with (
            open(fd, "rb", closefd=False) as pipe,
            tarfile.open(fileobj=pipe, mode="r|", bufsize=_PIECE) as archive,
        ):
            for member in archive:
                self._one(root, archive, member)
            while pipe.read(_PIECE):  # what stands behind the archive's end, so that its writer is not cut off
                pass

    def _one(self, root: int, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = [part for part in PurePosixPath(member.name).parts if part not in ("/", ".")]
        if not parts:
            return
        if ".." in parts:
            self.left_out.append(f"{member.name} (leads out)")
            return
        if "\0" in member.name + member.linkname:
            self.left_out.append(f"{member.name} (a NUL in a name)")
            return
        with _parent(root, parts[:-1]) as directory:
            if reason := _make(root, directory, parts, archive, member):
                self.left_out.append(f"{member.name} ({reason})")
            else:
                self.count += 1


@contextlib.contextmanager
def _parent(root: int, parts: list[str]) -> Iterator[int]:
    """The directory that an entry is for, entered step by step; made where the archive names it later or never."""
    fd = os.dup(root)
    try:
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            deeper = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = deeper
        yield fd
    finally:
        os.close(fd)


def _make(root: int, directory: int, parts: list[str], archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Make one entry; "" or why it is left out. Nobody gets more rights here than he would by copying."""
    name, mode = parts[-1], member.mode & 0o755
    if member.isdir():
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode | 0o700, dir_fd=directory)
        return ""
    if member.issym():
        if _leads_out(parts, member.linkname):
            return f"a link out of the directory, to {member.linkname}"
        os.symlink(member.linkname, name, dir_fd=directory)
        return ""
    if member.islnk():
        return _link(root, directory, name, member.linkname)
    if not member.isreg():
        return "a device, FIFO or socket"
    _write(directory, name, mode | 0o600, archive, member)
    return ""


def _leads_out(parts: list[str], to: str) -> bool:
    """Up from where the link is, and then down: behind a name, which may be a link too, nobody knows where up is."""
    above = [part == ".." for part in PurePosixPath(to).parts]
    ups = above.index(False) if False in above else len(above)
    return to.startswith("/") or any(above[ups:]) or ups > len(parts) - 1


def _link(root: int, directory: int, name: str, to: str) -> str:
    """A second name of a file that came before."""
    parts = [part for part in PurePosixPath(to).parts if part not in ("/", ".")]
    if not parts or ".." in parts:
        return f"a link out of the directory, to {to}"
    with _parent(root, parts[:-1]) as origin:
        if not stat.S_ISREG(os.stat(parts[-1], dir_fd=origin, follow_symlinks=False).st_mode):
            return f"a second name of {to}, which is no file"
        os.link(parts[-1], name, src_dir_fd=origin, dst_dir_fd=directory, follow_symlinks=False)
    return ""


def _write(directory: int, name: str, mode: int, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    content = archive.extractfile(member)
    assert content is not None  # it is a regular file
    source: Any = content.raw  # type: ignore[attr-defined]  # which can go on to a place further behind in a stream
    pieces: Any = member.sparse  # of a file with holes: (offset, length) of what is none
    with open(os.open(name, flags, mode, dir_fd=directory), "wb") as file:
        for offset, length in [(0, member.size)] if pieces is None else pieces:
            source.seek(offset)
            file.seek(offset)
            while length > 0 and (piece := source.read(min(_PIECE, length))):
                length -= file.write(piece)
        file.truncate(member.size)  # a hole at the end; holes stay holes, or a file could be larger than the disk
        os.fchmod(file.fileno(), mode)
        with contextlib.suppress(OverflowError, ValueError):  # a time that this machine cannot tell
            os.utime(file.fileno(), (member.mtime, member.mtime))

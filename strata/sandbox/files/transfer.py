# SPDX-License-Identifier: MIT
"""Files into a session and out of it, through a descriptor of the caller: any size, in constant memory, hashed.

A file that comes in is whole or not there at all: it is written without a name (O_TMPFILE, open(2)), so that a worker
that is killed leaves nothing, and takes the place of the old one in one step.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import select
import stat
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from strata import files
from strata.errors import Conflict, InvalidArgument, NotFound, ResourceExhausted
from strata.sandbox.files import kernel, places
from strata.sandbox.files.refusals import Reasons, telling

CHUNK: Final = 1_048_576
MODE: Final = 0o644
_ENDLESS: Final = 2**63
_MEMORY: Final = (0x0102_1994, 0x8584_58F6, 0x9584_58F6)  # tmpfs, ramfs, hugetlbfs (linux/magic.h)
TOO_MUCH: Final = "cannot write more than {} bytes to a file in memory; pass a pipe, or a file on a disk"
MOST_IN_MEMORY: Final = 16 * CHUNK

hashlib.sha256()  # OpenSSL reads its own configuration now, and not when the files around are a sandbox's

_PUTTING: Final[Reasons] = {
    errno.EISDIR: (Conflict, "a directory is there"),
    errno.EIO: (ResourceExhausted, "the machine's disk failed, or is full"),
}


class Poured(NamedTuple):
    """How many bytes went over, and their SHA-256 in hexadecimal. `gone`: nobody reads on, and there is no hash."""

    size: int
    sha256: str
    gone: bool = False


# --- in


def put(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """What the descriptor holds becomes the file `path`, where a link there leads. {path, size, sha256, mode, created}.

    `size` and `sha256`, where given, must be right, or the file stays as it was. `mode` is that of the file it replaces
    unless given.
    """
    place = places.path(arguments)
    doing = f"put {places.shown(place)}"
    if place.endswith(b"/"):
        raise InvalidArgument(f"cannot {doing}: the path must end in the file's name", param="path")
    check_descriptor(fds, os.O_WRONLY)
    with telling(doing, _PUTTING), _target(place) as (directory, name):
        before = _replaced(directory, name, doing)
        _check_room(directory, arguments.get("size"))
        with _draft(directory) as draft:
            poured = _pour(fds[0], draft.fd, _ENDLESS)
            _check_arrived(poured, arguments, doing)
            mode = _mode(arguments, before)
            os.fchmod(draft.fd, mode)
            os.fsync(draft.fd)
            _publish(draft, directory, name)
    told = {"size": poured.size, "sha256": poured.sha256, "mode": f"{mode:04o}", "created": before is None}
    return places.named(place, "path") | told


@contextlib.contextmanager
def _target(place: bytes) -> Iterator[tuple[int, bytes]]:
    with contextlib.ExitStack() as stack:
        try:
            directory, name = stack.enter_context(places.parent(place, follow=True))
        except FileNotFoundError as error:
            above = places.shown(os.path.dirname(place))
            raise NotFound(f"cannot put {places.shown(place)}: {above} is not there; make it first") from error
        yield directory, name


def _replaced(directory: int, name: bytes, doing: str) -> os.stat_result | None:
    """The file that is there now. Raises Conflict when it is something else."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise Conflict(f"cannot {doing}: a {files.kind(found.st_mode)} is there")
    return found


def _check_room(directory: int, size: int | None) -> None:
    """Refuse at once what cannot fit, and not after its last byte."""
    room = os.fstatvfs(directory)
    if size is not None and room.f_blocks and size > room.f_bavail * room.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _check_arrived(poured: Poured, arguments: dict[str, Any], doing: str) -> None:
    size, sha256 = arguments.get("size"), arguments.get("sha256")
    if size is not None and size != poured.size:
        raise InvalidArgument(f"cannot {doing}: {poured.size} bytes came, not {size}; nothing is changed", param="size")
    if sha256 is not None and sha256.lower() != poured.sha256:
        why = f"its SHA-256 is {poured.sha256}, not {sha256[:64]}; nothing is changed"
        raise InvalidArgument(f"cannot {doing}: {why}", param="sha256")


def _mode(arguments: dict[str, Any], before: os.stat_result | None) -> int:
    given: int | None = arguments.get("mode")
    if given is not None:
        return given
    return stat.S_IMODE(before.st_mode) if before else MODE


class _Draft(NamedTuple):
    """A file that is being written: without a name, or with one that nobody should look at."""

    fd: int
    name: bytes | None


def _hidden() -> bytes:
    return b".strata-put-" + os.urandom(8).hex().encode()


@contextlib.contextmanager
def _draft(directory: int) -> Iterator[_Draft]:
    draft = _nameless(directory) or _with_name(directory)
    try:
        yield draft
    except BaseException:
        if draft.name:
            os.unlink(draft.name, dir_fd=directory)
        raise
    finally:
        os.close(draft.fd)


def _nameless(directory: int) -> _Draft | None:
    if not NAMELESS:
        return None
    try:
        return _Draft(os.open(b".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=directory), None)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):  # the file system cannot (open(2))
            return None
        raise


def _with_name(directory: int) -> _Draft:
    name = _hidden()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    return _Draft(os.open(name, flags, 0o600, dir_fd=directory), name)


def _publish(draft: _Draft, directory: int, name: bytes) -> None:
    """Let the draft take the name, whatever has it now."""
    hidden = draft.name
    if hidden is None:
        try:
            return kernel.link_nameless(draft.fd, directory, name)
        except FileExistsError:
            hidden = _hidden()  # a rename replaces, a link does not
            kernel.link_nameless(draft.fd, directory, hidden)
    try:
        kernel.rename(directory, hidden, directory, name)
    except OSError:
        if draft.name is None:
            os.unlink(hidden, dir_fd=directory)
        raise


def _names_nameless(release: str) -> bool:
    """Whether the kernel lets who has no privileges name what he opened with O_TMPFILE himself: Linux 6.10."""
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (6, 10)


NAMELESS: Final = _names_nameless(os.uname().release)


# --- out


def get(arguments: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """The file, or `size` bytes from `offset`, into the descriptor.

    {path, size, sha256, mode, mtime, total, eof, changed, complete}: `size` and `sha256` are of what was written.
    Ends with what the file held at the start, also when it grows;
    `changed` tells that it did, or shrank, meanwhile. `complete` is false when the reader went away.
    """
    place = places.path(arguments)
    offset = arguments.get("offset") or 0
    check_descriptor(fds, os.O_RDONLY)
    with telling(f"get {places.shown(place)}"):
        fd = places.open_file(place)
        try:
            before = os.fstat(fd)
            os.lseek(fd, offset, os.SEEK_SET)
            wanted = min(arguments.get("size") or _ENDLESS, max(before.st_size - offset, 0))
            if wanted > (most := most_into(fds[0])):
                raise InvalidArgument(TOO_MUCH.format(most))
            poured = _pour(fd, fds[0], wanted)
            after = os.fstat(fd)
        finally:
            os.close(fd)
    return places.named(place, "path") | {
        "size": poured.size,
        "sha256": poured.sha256,
        "mode": f"{stat.S_IMODE(before.st_mode):04o}",
        "mtime": before.st_mtime_ns / 1_000_000_000,
        "total": before.st_size,
        "eof": offset + poured.size >= before.st_size,
        "changed": (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns),
        "complete": not poured.gone,
    }


# --- both


def _pour(source: int, target: int, most: int) -> Poured:
    """Copy up to `most` bytes. Raises OSError."""
    digest = hashlib.sha256()
    view = memoryview(bytearray(CHUNK))
    size = 0
    widen(source)
    widen(target)
    while size < most and (count := _read(source, view[: min(CHUNK, most - size)])):
        digest.update(view[:count])
        if not write(target, view[:count]):
            return Poured(size, "", gone=True)
        size += count
    return Poured(size, digest.hexdigest())


def check_descriptor(fds: list[int], useless: int) -> None:
    """Raises InvalidArgument unless there is one descriptor that goes the right way and is no directory."""
    flags = fcntl.fcntl(fds[0], fcntl.F_GETFL) if len(fds) == 1 else os.O_PATH
    if flags & os.O_PATH or flags & os.O_ACCMODE == useless or stat.S_ISDIR(os.fstat(fds[0]).st_mode):
        way = "written to" if useless == os.O_RDONLY else "read"
        raise InvalidArgument(f"cannot copy: give one descriptor that can be {way}")


def most_into(fd: int) -> int:
    """How many bytes may be written to a descriptor. A file in memory takes that of who writes: the session's, whose
    limit is for what runs in it."""
    in_memory = stat.S_ISREG(os.fstat(fd).st_mode) and files.filesystem(fd) in _MEMORY
    return MOST_IN_MEMORY if in_memory else _ENDLESS


def widen(fd: int) -> None:
    """A pipe of a megabyte: fewer turns between the two ends."""
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        with contextlib.suppress(OSError):  # more than its user may have in pipes (pipe(7)): it goes as it is
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, CHUNK)


def _read(fd: int, view: memoryview) -> int:
    while True:
        try:
            return os.readv(fd, [view])
        except BlockingIOError:  # the caller's descriptor does not wait; we do
            _wait(fd, select.POLLIN)


def write(fd: int, view: memoryview) -> bool:
    """All of it; False when nobody reads any more."""
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            _wait(fd, select.POLLOUT)
        except BrokenPipeError:
            return False
    return True


def _wait(fd: int, event: int) -> None:
    poll = select.poll()
    poll.register(fd, event)
    poll.poll()

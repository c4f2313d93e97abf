# SPDX-License-Identifier: MIT
"""Opening what lies beneath a prefix, and nothing else, with openat2(2).

Everything is first opened O_PATH, which runs no driver's code and never waits for a FIFO's other end; what it is, is
read from that descriptor; only a regular file or a directory is then opened for real, through /proc/self/fd, so that
it is the very same inode. An open with O_NONBLOCK instead would start a watchdog device and rewind a tape.

`cached` calls never wait for a disk (RESOLVE_CACHED, Linux 5.12): where they would, they raise BlockingIOError, and the
caller repeats the call in a thread without it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from strata import files
from strata.errors import InvalidArgument, PermissionDenied
from strata.fs import filesystems, kernel, prefix
from strata.fs.kernel import Stat
from strata.fs.prefix import Place

_REAL = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ATTEMPTS = 16  # `..` in a link's target while directories are being renamed: openat2(2), EAGAIN
CREATED_MODE = 0o644


class Opened(NamedTuple):
    """A descriptor that the caller must close. `in_memory`: reading it never waits; `local`: closing it does not."""

    fd: int
    is_dir: bool
    in_memory: bool = False
    local: bool = False


class Wanted(NamedTuple):
    """How to open: `access` is os.O_RDONLY, O_WRONLY or O_RDWR."""

    access: int = os.O_RDONLY
    create: bool = False
    truncate: bool = False


READ = Wanted()


def status(place: Place, cached: bool) -> Stat:
    """Size and kind of what the path leads to; nothing is opened for real. Raises OSError."""
    with _found(place, cached) as (_, found):
        return found


def take(place: Place, wanted: Wanted = READ, cached: bool = False) -> Opened:
    """Open a regular file or a directory. Raises OSError, InvalidArgument or PermissionDenied for all else."""
    if wanted.create:
        return _take_or_create(place, wanted)
    with _found(place, cached) as (fd, found):
        return _reopen(fd, found, place, wanted)


@contextlib.contextmanager
def _found(place: Place, cached: bool) -> Iterator[tuple[int, Stat]]:
    """An O_PATH descriptor of the target, and what it is."""
    fd = _resolve(place, os.O_PATH, cached=cached)
    try:
        found = kernel.statx(fd, sync=not cached)
        if cached and not filesystems.known_local(found.device):
            raise BlockingIOError(errno.EAGAIN, "its file system may be slow")
        yield fd, found
    finally:
        os.close(fd)


def _resolve(place: Place, flags: int, mode: int = 0, cached: bool = False) -> int:
    only = files.CACHED if cached else 0
    # An absolute link leads out of every prefix but `/`, where IN_ROOT follows it to where it points.
    within = files.IN_ROOT if place.prefix == "/" else files.BENEATH
    resolve = within | files.NO_MAGICLINKS | only
    path = os.fsencode(place.path)
    for attempt in range(_ATTEMPTS):
        try:
            with prefix.opened(place, only) as at:
                return files.openat2(at, path, flags, resolve, mode)
        except OSError as error:
            if cached and error.errno == errno.EINVAL:  # a kernel before 5.12 knows no RESOLVE_CACHED
                raise BlockingIOError(errno.EAGAIN, "no RESOLVE_CACHED") from error
            if cached or error.errno != errno.EAGAIN or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _reopen(fd: int, found: Stat, place: Place, wanted: Wanted) -> Opened:
    is_dir = stat.S_ISDIR(found.mode)
    if not is_dir and not stat.S_ISREG(found.mode):
        raise InvalidArgument(
            f"cannot open {place.path}: it is a {files.kind(found.mode)}, neither a file nor a directory"
        )
    if is_dir and wanted.access != os.O_RDONLY:
        raise InvalidArgument(f"cannot open {place.path} for writing: it is a directory")
    system = files.filesystem(fd)
    if system in filesystems.KERNEL:
        # /proc/self/mem is a regular file; so are the switches in /sys. None of them is data of the machine's users.
        raise PermissionDenied(
            f"cannot open {place.path}: it is part of {filesystems.KERNEL[system]}, not a stored file"
        )
    filesystems.remember(found.device, system)
    real = os.open(f"/proc/self/fd/{fd}", wanted.access | _REAL)
    if wanted.truncate:
        _truncate(real)
    return Opened(real, is_dir, system in filesystems.MEMORY, system in filesystems.LOCAL)


def _take_or_create(place: Place, wanted: Wanted) -> Opened:
    """O_EXCL, so that what is opened for real without a look at its kind is a file that this very call made."""
    existing = wanted._replace(create=False)
    for _ in range(_ATTEMPTS):
        try:
            return take(place, existing)
        except FileNotFoundError:
            pass
        try:
            fd = _resolve(place, os.O_CREAT | os.O_EXCL | wanted.access | os.O_NOCTTY, CREATED_MODE)
        except FileExistsError:
            continue  # made by another between our two looks
        system = files.filesystem(fd)
        return Opened(fd, False, system in filesystems.MEMORY, system in filesystems.LOCAL)
    raise FileExistsError(errno.EEXIST, "a link that leads nowhere, or it keeps appearing and vanishing")


def _truncate(fd: int) -> None:
    try:
        os.ftruncate(fd, 0)
    except OSError:
        os.close(fd)
        raise

# SPDX-License-Identifier: MIT
"""Disks of sessions: a sparse ext4 image each, which bounds blocks and inodes and gives the writer ENOSPC.

An empty image of a usual size is formatted once and copied after that, holes left out; some copies lie ready. It has no
journal and its mount asks for no flushes: a session does not outlive the machine's uptime, so there is nothing that a
crash could spoil. Owners in it are those inside: 0 is the session's root.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import zlib
from collections.abc import Iterator

from strata import programs
from strata.sandbox.launcher import kernel
from strata.sandbox.layers import loop

NAME = "disk.ext4"
OPTIONS = "barrier=0,noinit_itable"
_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOATIME
# Extents: a large file is written several times as fast as with lists of blocks. All bookkeeping in one place
# (flex_bg), groups that nobody used yet unwritten (uninit_bg) and no spare superblocks (sparse_super2, whose number is
# 0): a copy is three extents of a hundred KiB, quick to make and to remove (ext4(5)).
_FEATURES = "^has_journal,^resize_inode,^dir_nlink,extent,flex_bg,uninit_bg,sparse_super2"
_EXTENDED = "root_owner=0:0,num_backup_sb=0"
_MIB = 1024 * 1024
_FICLONE = 0x40049409  # ioctl_ficlone(2)
READY = 3
"""Copies that lie ready: a loop device has all of its file written to the disk first (loop_configure, Linux 6.18)."""

_SMALLEST = 2 * _MIB
_TAKEN = ".taken"


def empty(stock: str, size: int, inodes: int) -> str:
    """Path of an empty image of `size` bytes with room for so many inodes, made now if nobody has before."""
    path = _stocked(stock, size, inodes)
    if not os.path.exists(path):
        os.makedirs(stock, 0o700, exist_ok=True)
        unfinished = f"{path}.{os.getpid()}"
        try:
            _format(unfinished, size, inodes)
            os.rename(unfinished, path)  # whoever is second replaces it by the same
        except OSError:
            _forget(unfinished)
            raise
    return path


def restock(stock: str, size: int, inodes: int) -> None:
    """Have copies of the empty image of this size lie ready, if it is in stock."""
    source = _stocked(stock, size, inodes)
    for copied in _ready(source):
        if os.path.exists(copied) or os.path.exists(copied + _TAKEN) or not os.path.exists(source):
            continue
        unfinished = f"{copied}.{os.getpid()}"
        try:
            copy(source, unfinished)
            os.rename(unfinished, copied)
        except OSError:
            _forget(unfinished)
            raise
        _write_out(copied)  # last, because its new name has to be written, too


def _forget(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _write_out(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # somebody has it already
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def mount_new(stock: str, size: int, inodes: int, path: str, target: str) -> None:
    """Mount a new empty image at `target`; its file is `path`. Raises OSError as `make` and `mount` do."""
    found = next(filter(_take, _ready(_stocked(stock, size, inodes))), "")
    if not found:
        make(stock, size, inodes, path)
        found = path
    mount(found, target)
    if found != path:  # now, and not before: a new name would have to be written to the disk
        os.rename(found, path)
        os.unlink(found + _TAKEN)


def _take(ready: str) -> bool:
    """Whether it is there and nobody else's. One that is taken is never given back: something may be written in it."""
    if not os.path.exists(ready):
        return False
    try:
        os.close(os.open(ready + _TAKEN, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    if os.path.exists(ready):
        return True
    os.unlink(ready + _TAKEN)  # its taker has just gone off with it
    return False


def _ready(stocked: str) -> list[str]:
    return [f"{stocked}.ready{number}" for number in range(READY)]


def make(stock: str, size: int, inodes: int, target: str) -> None:
    """A new empty image at `target`: a copy of one in stock, or formatted where the size is an unusual one."""
    try:
        copy(_stocked(stock, size, inodes), target)
    except FileNotFoundError:
        _format(target, size, inodes)


def _stocked(stock: str, size: int, inodes: int) -> str:
    form = zlib.crc32(f"{_FEATURES} {_EXTENDED}".encode())
    return f"{stock}/empty-{size}-{inodes}-{form:08x}.ext4"


def _format(path: str, size: int, inodes: int) -> None:
    if size < _SMALLEST:
        raise OSError(errno.EINVAL, f"cannot make a disk of {size} bytes: it takes {_SMALLEST} at least")
    program = programs.required("mke2fs", "e2fsprogs")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.ftruncate(fd, size)
    os.close(fd)
    argv = [program, "-q", "-F", "-t", "ext4", "-O", _FEATURES, "-b", "4096", "-I", "256", "-m", "0"]
    argv += ["-N", str(inodes), "-E", _EXTENDED, path]
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    child = os.posix_spawn(program, argv, {"MKE2FS_CONFIG": os.devnull}, file_actions=quiet)
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        _write(path, size)
        raise OSError(
            errno.EINVAL, f"cannot make a disk of {size} bytes and {inodes} inodes: mke2fs ended with {status}"
        )


def _write(path: str, size: int) -> None:
    """Write to the end of a file that is of no use any more. mke2fs does not say whether the disk below it is full;
    this does, by OSError ENOSPC or EDQUOT."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        at = size - min(size, _MIB)
        while at < size:
            at += os.pwrite(fd, bytes(size - at), at)
    finally:
        os.close(fd)


def copy(source: str, target: str) -> None:
    """Copy a sparse file, sharing blocks where the file system can; `target` is new. Raises OSError ENOSPC too."""
    source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target_fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            copy_data(source_fd, target_fd)
        finally:
            os.close(target_fd)
    finally:
        os.close(source_fd)


def copy_data(source: int, target: int) -> None:
    """What `copy` does, between open files; the target is empty."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:  # this file system cannot share blocks
        size = os.fstat(source).st_size
        os.ftruncate(target, size)
        for start, end in _extents(source, size):
            _copy_range(source, target, start, end)


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on (lseek(2))
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        done = os.copy_file_range(source, target, end - start, start, start)
        if not done:
            raise OSError(errno.EIO, "cannot copy a disk image: it became shorter")
        start += done


def mount(path: str, target: str, read_only: bool = False) -> None:
    """Mount an image at `target`. Raises OSError where there are no loop devices for us."""
    fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        device = loop.attach(fd, read_only)
    finally:
        os.close(fd)
    loop.mount(device, target, _FLAGS | (kernel.MS_RDONLY if read_only else 0), OPTIONS)

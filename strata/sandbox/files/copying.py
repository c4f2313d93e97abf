# SPDX-License-Identifier: MIT
"""Copying a layer as it is: whiteouts, opaque directories, hard links, holes, owners, times. Nothing is followed.

The source may be changed meanwhile by those whose layer it is; what is gone when its turn comes is left out. What the
overlay notes for itself (origin, impure, nlink) is not copied: it speaks of the place where the layer was. That a
directory is opaque is written down for the kernel and for fuse-overlayfs, and what is gone is a device 0:0 for both, so
that either can be the driver of who starts from the copy.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Final, NamedTuple

from strata.errors import ResourceExhausted
from strata.sandbox.files import overlay
from strata.sandbox.files.compare import own
from strata.sandbox.files.overlay import Marks
from strata.sandbox.files.walk import Descent

_BLOCK: Final = 4096
_INODE: Final = 512  # what a name costs, at least
_PIECE: Final = 64 * 1_048_576  # of one system call
_UNSUPPORTED: Final = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)


class Copied(NamedTuple):
    """`size`: about how many bytes the copy takes on the disk; `files`: how many names it has."""

    size: int
    files: int


def copy_layer(source: int, target: int, marks: Marks, most_bytes: int) -> Copied:
    """Copy what is in an open directory into an empty open one. Raises ResourceExhausted past `most_bytes`, OSError."""
    copier = _Copier(target, marks, most_bytes)
    with Descent(source) as here, Descent(target) as there:
        levels = [_names(here.fd)]
        while True:
            if levels[-1]:
                name = levels[-1].pop()
                if copier.entry(here.fd, there.fd, (*there.names, name)):
                    here.enter(name)
                    there.enter(name)
                    levels.append(_names(here.fd))
                continue
            levels.pop()
            copier.finish(here.fd, there.fd)
            if not levels:
                return Copied(copier.size, copier.files)
            here.leave()
            there.leave()


def _names(fd: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(fd)]


class _Copier:
    """One copy under way, below the open directory `top`."""

    def __init__(self, top: int, marks: Marks, most_bytes: int) -> None:
        self.top, self.marks, self.most_bytes = top, marks, most_bytes
        self.size = self.files = 0
        self._links: dict[tuple[int, int], bytes] = {}  # who has several names → the first of them

    def entry(self, here: int, there: int, path: tuple[bytes, ...]) -> bool:
        """Copy one name; true for a directory, to be gone into."""
        name = path[-1]
        try:
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if (gone := self._gone(here, name, found)) is not None:
                _whiteout(there, gone)
            elif stat.S_ISREG(found.st_mode):
                self._file(here, there, path)
            else:
                self._other(here, there, name, found)
        except FileNotFoundError:
            return False  # gone meanwhile
        self.files += 1
        self._spend(_INODE)
        return stat.S_ISDIR(found.st_mode) and gone is None

    def finish(self, here: int, there: int) -> None:
        """A directory is as it was once all in it is there."""
        self._attributes(here, there)
        if overlay.is_opaque(here, self.marks):
            for name in self.marks.opaque:
                os.setxattr(there, name, b"y")
        _give(there, None, os.fstat(here))

    def _gone(self, here: int, name: bytes, found: os.stat_result) -> bytes | None:
        """The name that this one takes away below: empty when it only marks its directory."""
        hidden = overlay.hidden_name(name, self.marks)
        if hidden is not None:
            return hidden
        return name if overlay.is_whiteout(here, name, own(found), self.marks) else None

    def _other(self, here: int, there: int, name: bytes, found: os.stat_result) -> None:
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            os.mkdir(name, 0o700, dir_fd=there)
            return
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=here), name, dir_fd=there)
        elif kind in (stat.S_IFIFO, stat.S_IFSOCK):
            os.mknod(name, found.st_mode, dir_fd=there)
        else:
            return  # a device: nobody in a session can have made one
        _give(name, there, found)

    def _file(self, here: int, there: int, path: tuple[bytes, ...]) -> None:
        with overlay.reading(here, path[-1]) as source:
            found = os.fstat(source)
            if found.st_nlink > 1 and self._link(found, there, path):
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            target = os.open(path[-1], flags, 0o600, dir_fd=there)
            try:
                self._content(source, target, found.st_size)
                self._attributes(source, target)
                _give(target, None, found)
            finally:
                os.close(target)

    def _link(self, found: os.stat_result, there: int, path: tuple[bytes, ...]) -> bool:
        """Make it a further name of the file that was copied under its first one; false when this is the first."""
        own = b"/".join(path)
        first = self._links.setdefault((found.st_dev, found.st_ino), own)
        if first == own:
            return False
        try:
            os.link(first, path[-1], src_dir_fd=self.top, dst_dir_fd=there, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EMLINK):
                return False  # then it is a file of its own
            raise
        return True

    def _content(self, source: int, target: int, size: int) -> None:
        end = 0
        while end < size:
            try:
                start = os.lseek(source, end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole from here on (lseek(2))
                    break
                raise
            end = min(os.lseek(source, start, os.SEEK_HOLE), size)
            self._spend(-(-(end - start) // _BLOCK) * _BLOCK)
            _copy_range(source, target, start, end)
        os.ftruncate(target, size)

    def _attributes(self, source: int, target: int) -> None:
        for name, value in overlay.attributes(source).items():
            os.setxattr(target, name, value)

    def _spend(self, count: int) -> None:
        self.size += count
        if self.size > self.most_bytes:
            raise ResourceExhausted(f"it takes more than {self.most_bytes} bytes; remove snapshots, or raise the limit")


def _whiteout(directory: int, name: bytes) -> None:
    """A device 0:0, which everybody may make (mknod(2), Linux 5.8)."""
    if name:
        with contextlib.suppress(FileExistsError):  # fuse-overlayfs says it twice at times
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=directory)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    """Share blocks where the file system can (copy_file_range(2)), else copy inside the kernel (sendfile(2))."""
    os.lseek(target, start, os.SEEK_SET)
    while start < end:
        piece = min(_PIECE, end - start)
        try:
            count = os.copy_file_range(source, target, piece, start)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            count = os.sendfile(target, source, start, piece)
        if not count:
            return  # it shrank meanwhile
        start += count


def _give(what: int | bytes, directory: int | None, like: os.stat_result) -> None:
    """Owner, mode and times. Owner first: a change of it clears set-user-ID bits (chown(2))."""
    if isinstance(what, int):
        os.fchown(what, like.st_uid, like.st_gid)
        os.fchmod(what, stat.S_IMODE(like.st_mode))
        os.utime(what, ns=(like.st_atime_ns, like.st_mtime_ns))
        return
    os.chown(what, like.st_uid, like.st_gid, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(like.st_mode):
        os.chmod(what, stat.S_IMODE(like.st_mode), dir_fd=directory)
    os.utime(what, ns=(like.st_atime_ns, like.st_mtime_ns), dir_fd=directory, follow_symlinks=False)

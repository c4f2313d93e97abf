# SPDX-License-Identifier: MIT
"""System calls that only sessions' files need and Python 3.11 has no name for, by ctypes: linkat of a nameless file,
renameat2, syncfs and inotify. Loaded by the launcher once, so that a worker needs no file of the sandbox for them.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

RENAME_NOREPLACE: Final = 1

# inotify(7), linux/inotify.h
IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4
IN_CLOSE_WRITE: Final = 0x8
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_UNMOUNT: Final = 0x2000
IN_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x0100_0000
IN_DONT_FOLLOW: Final = 0x0200_0000
IN_EXCL_UNLINK: Final = 0x0400_0000
IN_ISDIR: Final = 0x4000_0000

_AT_EMPTY_PATH: Final = 0x1000

_libc = ctypes.CDLL(None, use_errno=True)
_linkat = _libc.linkat
_linkat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
_renameat2 = _libc.renameat2
_renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_add_watch = _libc.inotify_add_watch
_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


def link_nameless(fd: int, directory: int, name: bytes) -> None:
    """Give a file that was opened with O_TMPFILE its name. Without privileges this takes Linux 6.10 (linkat(2))."""
    _check(_linkat(fd, b"", directory, name, _AT_EMPTY_PATH))


def rename(directory: int, name: bytes, to_directory: int, to_name: bytes, flags: int = 0) -> None:
    """renameat2(2)."""
    _check(_renameat2(directory, name, to_directory, to_name, flags))


def syncfs(fd: int) -> None:
    """Bring to the disk all that was written to the file system of `fd` (syncfs(2))."""
    _check(_libc.syncfs(fd))


def inotify() -> int:
    """A close-on-exec, non-blocking descriptor of a new inotify instance (inotify_init1(2))."""
    fd: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    _check(fd)
    return fd


def add_watch(fd: int, path: bytes, mask: int) -> int:
    """The watch of `path`: the same number as before for an inode that is watched already (inotify_add_watch(2))."""
    watch: int = _add_watch(fd, path, mask)
    _check(watch)
    return watch


def _check(answer: int) -> None:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

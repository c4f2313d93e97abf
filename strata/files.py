# SPDX-License-Identifier: MIT
"""Opening files for somebody who is not trusted with the path: openat2(2) and fstatfs(2), which Python has no name for,
by ctypes, and the words for what a file is."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from typing import Final

AT_FDCWD: Final = -100

# How a path is resolved, linux/openat2.h.
NO_MAGICLINKS: Final = 0x02
NO_SYMLINKS: Final = 0x04
BENEATH: Final = 0x08
IN_ROOT: Final = 0x10
CACHED: Final = 0x20

_SYS_OPENAT2: Final = 437  # the same number on every architecture (openat2(2), Linux 5.6)
_HOW: Final = struct.Struct("=QQQ")
_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_fstatfs = _libc.fstatfs
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_char_p)


def openat2(at: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """A new close-on-exec descriptor of `path`, resolved from the descriptor `at`. Raises OSError."""
    how = _HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    while True:
        fd: int = _syscall(_SYS_OPENAT2, at, path, how, _HOW.size)
        if fd >= 0:
            return fd
        if (number := ctypes.get_errno()) != errno.EINTR:  # a signal came while a slow file system worked
            raise OSError(number, os.strerror(number))


def filesystem(fd: int) -> int:
    """The magic number of the file system that an open descriptor lies on (statfs(2)). Raises OSError."""
    raw = ctypes.create_string_buffer(256)
    if _fstatfs(fd, raw):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    number: int = struct.unpack_from("@l", raw)[0]
    return number & 0xFFFF_FFFF


def kind(mode: int) -> str:
    """What a mode says it is, in one word."""
    return _KINDS.get(stat.S_IFMT(mode), "thing of an unknown kind")


_KINDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}

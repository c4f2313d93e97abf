# SPDX-License-Identifier: MIT
"""System calls that Python has no name for: openat2(2), statx(2) and fstatfs(2), by ctypes."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

NO_MAGICLINKS = 0x02  # linux/openat2.h
NO_SYMLINKS = 0x04
BENEATH = 0x08
IN_ROOT = 0x10
CACHED = 0x20

_SYS_OPENAT2 = 437  # the same number on every architecture (openat2(2), Linux 5.6)
_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000
_STATX_BASIC_STATS = 0x7FF
_STATX_MODE, _STATX_SIZE, _STATX_MTIME, _STATX_DEVICE = 28, 40, 112, 136  # offsets, struct statx in statx(2)

_HOW = struct.Struct("=QQQ")
_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_statx = _libc.statx
_statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
_fstatfs = _libc.fstatfs
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_char_p)


class Stat(NamedTuple):
    """What statx(2) says of an open descriptor; `device` is (major, minor), `mtime_ns` since 1970."""

    mode: int
    size: int
    mtime_ns: int
    device: tuple[int, int]


def openat2(at: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """A new close-on-exec descriptor of `path`, resolved from the descriptor `at`. Raises OSError."""
    how = _HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    while True:
        fd: int = _syscall(_SYS_OPENAT2, at, path, how, _HOW.size)
        if fd >= 0:
            return fd
        if (number := ctypes.get_errno()) != 4:  # EINTR: a signal came while a slow file system worked
            raise OSError(number, os.strerror(number))


def statx(fd: int, sync: bool = True) -> Stat:
    """Status of an open descriptor. Without `sync` no remote file system is asked. Raises OSError."""
    raw = ctypes.create_string_buffer(256)
    flags = _AT_EMPTY_PATH | (0 if sync else _AT_STATX_DONT_SYNC)
    if _statx(fd, b"", flags, _STATX_BASIC_STATS, raw):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    (mode,) = struct.unpack_from("=H", raw, _STATX_MODE)
    (size,) = struct.unpack_from("=Q", raw, _STATX_SIZE)
    seconds, nanoseconds = struct.unpack_from("=qI", raw, _STATX_MTIME)
    return Stat(mode, size, seconds * 1_000_000_000 + nanoseconds, struct.unpack_from("=II", raw, _STATX_DEVICE))


def filesystem(fd: int) -> int:
    """The magic number of the file system that an open descriptor lies on (statfs(2)). Raises OSError."""
    raw = ctypes.create_string_buffer(256)
    if _fstatfs(fd, raw):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    kind: int = struct.unpack_from("@l", raw)[0]
    return kind & 0xFFFF_FFFF

# SPDX-License-Identifier: MIT
"""statx(2), which Python has no name for, by ctypes: with it no remote file system need be asked."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

_AT_EMPTY_PATH = 0x1000
_AT_STATX_DONT_SYNC = 0x4000
_STATX_BASIC_STATS = 0x7FF
_STATX_MODE, _STATX_SIZE, _STATX_MTIME, _STATX_DEVICE = 28, 40, 112, 136  # offsets, struct statx in statx(2)

_libc = ctypes.CDLL(None, use_errno=True)
_statx = _libc.statx
_statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)


class Stat(NamedTuple):
    """What statx(2) says of an open descriptor; `device` is (major, minor), `mtime_ns` since 1970."""

    mode: int
    size: int
    mtime_ns: int
    device: tuple[int, int]


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

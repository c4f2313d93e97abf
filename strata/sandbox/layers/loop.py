# SPDX-License-Identifier: MIT
"""Loop devices: a file as a block device, let go by itself when its last user is (loop(4))."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

from strata.sandbox.launcher import kernel

CONTROL = "/dev/loop-control"
# linux/loop.h
_CTL_GET_FREE = 0x4C82
_CONFIGURE = 0x4C0A
_READ_ONLY = 1
_AUTOCLEAR = 4
_CONFIG = struct.Struct("=II 52xI 176x 64x")  # struct loop_config: fd, block_size, info.lo_flags
_PATIENCE = 5.0  # s
_MAJOR = 7


def attach(fd: int, read_only: bool = False) -> int:
    """A descriptor of a new loop device on the open file `fd`. Mount it, then close it: the mount keeps it alive.

    Raises OSError where there are no loop devices for us.
    """
    config = _CONFIG.pack(fd, 4096, _AUTOCLEAR | (_READ_ONLY if read_only else 0))
    control = _control()
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return _attach(control, config, os.O_RDONLY if read_only else os.O_RDWR)
            except OSError as error:
                # Somebody else took the free device first.
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise OSError(error.errno, f"cannot attach a loop device: {error.strerror}") from error
    finally:
        os.close(control)


def _control() -> int:
    try:
        return os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"cannot open {CONTROL}, for loop devices: {error.strerror}") from error


def _attach(control: int, config: bytes, mode: int) -> int:
    device = _open(fcntl.ioctl(control, _CTL_GET_FREE), mode)
    try:
        fcntl.ioctl(device, _CONFIGURE, config)
    except OSError:
        os.close(device)
        raise
    return device


def _open(number: int, mode: int) -> int:
    try:
        return os.open(f"/dev/loop{number}", mode | os.O_CLOEXEC)
    except FileNotFoundError:
        # A container whose /dev is not the kernel's own (devtmpfs) never sees new devices: make the node ourselves.
        return _open_made(number, mode)


def _open_made(number: int, mode: int) -> int:
    path = f"/dev/.strata-loop-{os.getpid()}"
    os.mknod(path, 0o600 | 0o060000, os.makedev(_MAJOR, number))
    try:
        return os.open(path, mode | os.O_CLOEXEC)
    finally:
        os.unlink(path)


def mount(fd: int, target: str, flags: int, options: str) -> None:
    """Mount the ext4 file system on a loop device at `target`; the descriptor is closed."""
    try:
        name = os.readlink(f"/proc/self/fd/{fd}")  # the device, unless it is one of our own nodes
        kernel.mount(name if os.path.exists(name) else f"/proc/self/fd/{fd}", target, "ext4", flags, options)
    finally:
        os.close(fd)

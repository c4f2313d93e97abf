# SPDX-License-Identifier: MIT
"""From the path of a request to something open. The worker's / is the sandbox's, so every path and link ends inside.

What is left to do here: relative paths start at /root; no link of /proc that only the kernel can follow is taken
(RESOLVE_NO_MAGICLINKS, openat2(2)); what is no stored file is refused; and nothing but regular files and directories
is ever opened for real. The sandbox may swap things at any time, so what was opened is looked at again.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, Final

from strata import files
from strata.errors import InvalidArgument, PermissionDenied

HOME: Final = b"/root"
_LINKS: Final = 40  # as many as the kernel follows (path_resolution(7))
_ATTEMPTS: Final = 16
_REAL: Final = os.O_NONBLOCK | os.O_NOCTTY  # a FIFO that was swapped in blocks nobody

# File systems that are interfaces of the kernel (linux/magic.h): what they hold is no data of the session.
INTERFACES: Final[dict[int, str]] = {
    0x0000_9FA0: "proc",
    0x6265_6572: "sysfs",
    0x0027_E0EB: "cgroup",
    0x6367_7270: "cgroup2",
    0x6462_6720: "debugfs",
    0x7472_6163: "tracefs",
    0x7363_6673: "securityfs",
    0x6265_6570: "configfs",
    0x0000_1CD1: "devpts",
    0x1980_0202: "mqueue",
    0x6E73_6673: "nsfs",
    0xCAFE_4A11: "bpf",
    0x6573_5543: "fusectl",
    0x4249_4E4D: "binfmt_misc",
}


def path(arguments: dict[str, Any], param: str = "path") -> bytes:
    """The absolute path that `param` (text), or `param`_b64 (bytes in base64), names. Raises InvalidArgument."""
    raw = _bytes(arguments, param)
    if not raw:
        raise InvalidArgument(f"missing {param} param", param=param)
    if b"\0" in raw:
        raise InvalidArgument(f"cannot use {param}: it has a NUL in it", param=param)
    return raw if raw.startswith(b"/") else HOME + b"/" + raw


def _bytes(arguments: dict[str, Any], param: str) -> bytes:
    encoded = arguments.get(f"{param}_b64")
    try:
        if encoded is None:
            return str(arguments.get(param) or "").encode()
        return base64.b64decode(encoded, validate=True)
    except ValueError as error:  # of any kind: a letter beyond ASCII is told by another than a wrong length
        raise InvalidArgument(f"cannot use {param}: it is neither UTF-8 nor base64", param=param) from error


def shown(raw: bytes) -> str:
    """A path or a name as text; what is not UTF-8 reads as U+FFFD."""
    return raw.decode("utf-8", "replace")


def named(raw: bytes, key: str = "name") -> dict[str, str]:
    """{name: text}, and the whole name in base64 where the text is not all of it."""
    text = shown(raw)
    return {key: text} if text.encode() == raw else {key: text, f"{key}_b64": base64.b64encode(raw).decode("ascii")}


def resolve(place: bytes, flags: int, at: int = files.AT_FDCWD) -> int:
    """Open with openat2, links followed unless `flags` has O_NOFOLLOW. The caller closes. Raises OSError."""
    for attempt in range(_ATTEMPTS):
        try:
            return files.openat2(at, place, flags, files.NO_MAGICLINKS)
        except OSError as error:
            if error.errno != errno.EAGAIN or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


@contextlib.contextmanager
def found(place: bytes, follow: bool = True) -> Iterator[tuple[int, os.stat_result]]:
    """An O_PATH descriptor of what the path leads to, and its status; no driver's code runs."""
    fd = resolve(place, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
    try:
        yield fd, os.fstat(fd)
    finally:
        os.close(fd)


def open_file(place: bytes) -> int:
    """A regular file, for reading. The caller closes. Raises OSError, InvalidArgument or PermissionDenied."""
    return _open(place, stat.S_IFREG, os.O_RDONLY)


def open_directory(place: bytes) -> int:
    """A directory, for listing and as `dir_fd`. The caller closes. Raises as open_file."""
    return _open(place, stat.S_IFDIR, os.O_RDONLY | os.O_DIRECTORY)


def _open(place: bytes, wanted: int, flags: int) -> int:
    """Look first, with O_PATH, and open for real only what is of the right kind; then look whether it is the same.

    The usual way from an O_PATH descriptor, /proc/self/fd, is closed: the sandbox's /proc does not know this process.
    """
    for _ in range(_ATTEMPTS):
        with found(place) as (looked_at, seen):
            _check(place, looked_at, seen.st_mode, wanted)
            fd = resolve(place, flags | _REAL)
            if os.path.samestat(os.fstat(fd), seen):
                return fd
            os.close(fd)
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _check(place: bytes, fd: int, mode: int, wanted: int) -> None:
    if stat.S_IFMT(mode) != wanted:
        raise InvalidArgument(f"cannot open {shown(place)}: it is a {files.kind(mode)}, not a {files.kind(wanted)}")
    stored(place, fd)


def stored(place: bytes, fd: int) -> None:
    """Raises PermissionDenied for what lies in an interface of the kernel, such as /proc."""
    system = files.filesystem(fd)
    if system in INTERFACES:
        raise PermissionDenied(f"cannot open {shown(place)}: it is part of {INTERFACES[system]}, not a stored file")


@contextlib.contextmanager
def parent(place: bytes, follow: bool = False) -> Iterator[tuple[int, bytes]]:
    """The open directory that holds the last name of the path, and that name; with `follow`, where a link there leads.

    Raises OSError, and InvalidArgument for a path that ends in no name (`/`, `.`, `..`).
    """
    fd, name = _split(files.AT_FDCWD, place)
    try:
        for _ in range(_LINKS if follow else 0):
            target = _link(fd, name)
            if target is None:
                break
            further, name = _split(fd, target)
            os.close(fd)
            fd = further
        else:
            if follow:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        stored(place, fd)
        yield fd, name
    finally:
        os.close(fd)


def _split(at: int, place: bytes) -> tuple[int, bytes]:
    directory, name = os.path.split(place.rstrip(b"/"))
    if name in (b"", b".", b".."):
        raise InvalidArgument(f"cannot use {shown(place)}: the path must end in a name")
    return resolve(directory or b".", os.O_PATH | os.O_DIRECTORY, at), name


def _link(directory: int, name: bytes) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is no link (readlink(2))
            return None
        raise


def status(found: os.stat_result) -> dict[str, Any]:
    """What is told of every file: kind, size in bytes, mode in octal, mtime in seconds since 1970."""
    return {
        "kind": files.kind(found.st_mode),
        "size": found.st_size,
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "mtime": found.st_mtime_ns / 1_000_000_000,
    }

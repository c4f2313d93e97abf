# SPDX-License-Identifier: MIT
"""The local side of copying: what is sent is read once before, what comes takes its place when it is whole."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any

from strata.client.options import LocalPath
from strata.errors import Conflict, Internal, InvalidArgument, NotFound, PermissionDenied, StrataError, Unavailable

_KINDS: dict[type[OSError], type[StrataError]] = {
    FileNotFoundError: NotFound,
    PermissionError: PermissionDenied,
    IsADirectoryError: InvalidArgument,
}


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """An OSError of the body becomes `cannot DOING: reason`."""
    try:
        yield
    except OSError as error:
        kind = next((kind for of, kind in _KINDS.items() if isinstance(error, of)), Unavailable)
        raise kind(f"cannot {doing}: {error.strerror or error}") from error


@contextlib.contextmanager
def source(path: LocalPath) -> Iterator[int]:
    """A file to read from. Raises StrataError."""
    with told(f"read {os.fspath(path)}"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise InvalidArgument(f"cannot read {os.fspath(path)}: it is a directory; give its files one by one")
        yield fd
    finally:
        os.close(fd)


def expectations(fd: int) -> dict[str, Any]:
    """Size and hash of a file that can be read twice: the room refuses what arrives different. Else nothing."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        return {}
    begin = os.lseek(fd, 0, os.SEEK_CUR)
    told = {"size": found.st_size - begin, "sha256": sha256(fd, begin)}
    os.lseek(fd, begin, os.SEEK_SET)
    return told


def sha256(fd: int, begin: int = 0) -> str:
    """In hexadecimal, of a regular file from byte `begin` on."""
    import hashlib  # loads OpenSSL, which most calls can do without

    with open(os.dup(fd), "rb", buffering=0) as file:
        file.seek(begin)
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def sink(path: LocalPath, name: str) -> Iterator[int]:
    """A file to write into, which takes the place of `path` (in a directory, of `name`) when the body ends well.

    A device or a pipe is written to as it is. Raises StrataError.
    """
    target = os.path.join(path, name) if os.path.isdir(path) else os.fspath(path)
    with told(f"write {target}"):
        if os.path.exists(target) and not os.path.isfile(target):
            yield from _as_it_is(target)
        else:
            yield from _anew(os.path.realpath(target))


def _as_it_is(target: str) -> Iterator[int]:
    fd = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _anew(target: str) -> Iterator[int]:
    directory, name = os.path.split(target)
    draft = os.path.join(directory, f".{name[:200]}.{os.urandom(4).hex()}.part")
    fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            yield fd
        finally:
            os.close(fd)
        os.rename(draft, target)
    except BaseException:
        os.unlink(draft)
        raise


def check_arrived(fd: int, answer: Any, what: str) -> None:
    """Hold what came against what was sent. Raises Conflict when the file changed, Internal when it differs."""
    if not isinstance(answer, dict):
        raise Internal(f"cannot get {what}: the answer is no object")
    if answer.get("complete") is False or answer.get("changed") is True:
        raise Conflict(f"cannot get {what}: it changed while it was read; try again")
    if stat.S_ISREG(os.fstat(fd).st_mode) and answer.get("sha256") != sha256(fd):
        raise Internal(f"cannot get {what}: what arrived is not what was sent; try again")


def take_mode(fd: int, mode: str) -> None:
    """Who may read the copy may execute it, when the original can be executed."""
    found = os.fstat(fd)
    try:
        executable = int(mode or "0", 8) & 0o100
    except (TypeError, ValueError) as error:
        raise Internal(f"cannot read the answer: {mode!r} is no mode") from error
    if stat.S_ISREG(found.st_mode) and executable:
        os.fchmod(fd, stat.S_IMODE(found.st_mode) | (found.st_mode & 0o444) >> 2)

# SPDX-License-Identifier: MIT
"""What a run is to be, checked: argument list, environment, directory, input, and how long it may take."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from strata.errors import InvalidArgument
from strata.sandbox.launcher import kernel

STREAMS = ("stdin", "stdout", "stderr")
PIPE_BYTES = 262_144
LONGEST_MS = 7 * 24 * 3600 * 1000


class Wanted(NamedTuple):
    """A run. `timeout` in seconds, None for none; `stdin` is what it reads where no descriptor is given."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdin: bytes
    timeout: float | None


def wanted(
    argv: tuple[str, ...],
    env: Mapping[str, str] | None,
    cwd: str | None,
    stdin: str | None,
    stdin_b64: str | None,
    timeout_ms: int | None,
) -> Wanted:
    """Raises InvalidArgument naming the parameter at fault."""
    if not argv or not argv[0]:
        raise InvalidArgument("argv is required: the program and its arguments", param="argv")
    for name in env or {}:
        if not name or "=" in name:
            raise InvalidArgument(f"cannot use {name[:80]!r} as the name of a variable", param="env")
    for param, texts in (("argv", argv), ("env", (*(env or {}), *(env or {}).values())), ("cwd", (cwd or "",))):
        if any("\0" in text for text in texts):
            raise InvalidArgument(f"cannot use a NUL in {param}", param=param)
    if timeout_ms is not None and timeout_ms > LONGEST_MS:
        raise InvalidArgument(f"timeout_ms must be at most {LONGEST_MS}", param="timeout_ms")
    timeout = timeout_ms / 1000 if timeout_ms and timeout_ms > 0 else None
    return Wanted(argv, env or {}, cwd or "/root", given_input(stdin, stdin_b64), timeout)


def roles(names: tuple[str, ...] | None, passed: tuple[int, ...]) -> dict[str, int]:
    """Which of the passed descriptors is what. Raises InvalidArgument."""
    names = names or ()
    wrong = [name for name in names if name not in STREAMS]
    if wrong or len(set(names)) != len(names):
        raise InvalidArgument("descriptors must name each of stdin, stdout, stderr at most once", param="descriptors")
    if len(names) != len(passed):
        raise InvalidArgument(
            f"{len(passed)} descriptors came with the call and {len(names)} are named; pass as many as you name",
            param="descriptors",
        )
    for name, fd in zip(names, passed, strict=True):
        _check_passed(name, fd)
    return dict(zip(names, passed, strict=True))


def _check_passed(name: str, fd: int) -> None:
    """A directory would be a way to all that lies beside it: /proc/self/fd/0/../.. is the caller's tree."""
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH or kernel.is_directory(fd):
        raise InvalidArgument(
            f"cannot pass a directory or a bare path as {name}: it would lead out of the session", param="descriptors"
        )


@contextlib.contextmanager
def reading(data: bytes) -> Iterator[int]:
    """A descriptor from which exactly this can be read: memory that nobody can change any more, or nothing at all."""
    if not data:
        fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    else:
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    try:
        yield fd
    finally:
        os.close(fd)


def output_pipe() -> tuple[int, int]:
    """Read end and write end of a pipe that holds some turns of the loop's worth of output."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(PermissionError):  # beyond /proc/sys/fs/pipe-user-pages-soft: then it is a smaller one
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer


def given_input(text: str | None, b64: str | None) -> bytes:
    """The bytes of `stdin` or of `stdin_b64`. Raises InvalidArgument."""
    if text is not None and b64 is not None:
        raise InvalidArgument("give stdin or stdin_b64, not both", param="stdin")
    if b64 is None:
        return (text or "").encode()
    try:
        return base64.b64decode(b64, validate=True)
    except ValueError as error:  # of any kind: a letter beyond ASCII is told by another than a wrong length
        raise InvalidArgument(f"stdin_b64 must be base64: {error}", param="stdin_b64") from error

# SPDX-License-Identifier: MIT
"""What a program says is its command's standard input and output, as parameters and descriptors of a call."""

from __future__ import annotations

import binascii
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from strata.client.options import Descriptor, Input
from strata.errors import Internal, InvalidArgument

INLINE_BYTES = 262_144
"""As much goes in the frame itself; more goes in a file in memory (memfd_create(2))."""


class Stdio(NamedTuple):
    """`params` name the descriptors in their order, or hold the input itself."""

    params: dict[str, Any]
    descriptors: tuple[int, ...]


@contextlib.contextmanager
def stdio(stdin: Input, stdout: Descriptor | None, stderr: Descriptor | None) -> Iterator[Stdio]:
    """The three streams of a run; None is empty input, or output that comes with the result. Raises InvalidArgument."""
    with contextlib.ExitStack() as stack:
        params: dict[str, Any] = {}
        named: dict[str, int] = {}
        if isinstance(stdin, str | bytes):
            data = stdin.encode() if isinstance(stdin, str) else stdin
            if len(data) <= INLINE_BYTES:
                params["stdin_b64"] = b64(data)
            else:
                named["stdin"] = stack.enter_context(in_memory(data))
        elif stdin is not None:
            named["stdin"] = number(stdin)
        for name, given in (("stdout", stdout), ("stderr", stderr)):
            if given is not None:
                named[name] = number(given)
        yield Stdio(params | ({"descriptors": list(named)} if named else {}), tuple(named.values()))


@contextlib.contextmanager
def in_memory(data: bytes = b"") -> Iterator[int]:
    """A file without a name that holds `data`, to be read from its beginning."""
    fd = os.memfd_create("strata")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def content(fd: int) -> bytes:
    """All that a file holds."""
    size, parts = os.fstat(fd).st_size, bytearray()
    while len(parts) < size and (part := os.pread(fd, size - len(parts), len(parts))):
        parts += part
    return bytes(parts)


def large(answer: Any, fd: int) -> Any:
    """An answer of exec, which is in the memory that was passed where it is too large for a frame. Raises Internal."""
    if not isinstance(answer, dict) or answer.keys() != {"written"}:
        return answer
    try:
        return json.loads(content(fd))
    except (ValueError, RecursionError) as error:
        raise Internal(f"cannot read the answer: {error}") from error


def number(given: Descriptor) -> int:
    """A descriptor's number; what Python still buffers of an open file is written first. Raises InvalidArgument."""
    if isinstance(given, int):
        return given
    flush: Callable[[], object] | None = getattr(given, "flush", None)
    try:
        if flush is not None:
            flush()
        return given.fileno()
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"cannot pass {given!r}: {error}") from error


def b64(data: bytes) -> str:
    """As JSON carries bytes."""
    return binascii.b2a_base64(data, newline=False).decode()

# SPDX-License-Identifier: MIT
"""Range requests (RFC 9110, 14): a part of a file. One range; more than one is answered with the whole file."""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

from strata.errors import InvalidArgument

_BYTES = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)


class Unsatisfiable(InvalidArgument):
    """A range that the file does not have."""

    http: ClassVar[int] = 416

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """What the answer says of the file (RFC 9110, 15.5.17)."""
        return (("content-range", f"bytes */{self.details['size']}"),)


class Part(NamedTuple):
    """Bytes from `start` on, `length` of them, of a file of `size`."""

    start: int
    length: int
    size: int

    @property
    def whole(self) -> bool:
        """Whether that is all of it."""
        return self.length == self.size

    @property
    def content_range(self) -> str:
        """The header's value."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"


def part(header: str, size: int) -> Part:
    """What a Range header asks for; the whole file when it asks for nothing that can be read. Raises Unsatisfiable."""
    match = _BYTES.fullmatch(header.strip())
    if not match or not (match[1] or match[2]):
        return Part(0, size, size)
    if not match[1]:
        length = min(int(match[2]), size)
        start, stop = size - length, size
    else:
        start, stop = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
        if match[2] and int(match[2]) < int(match[1]):
            return Part(0, size, size)  # not a range at all, so it is ignored (14.2)
    if start >= stop:
        raise Unsatisfiable(f"cannot send this part: the file has {size} bytes", size=size)
    return Part(start, stop - start, size)

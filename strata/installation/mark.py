# SPDX-License-Identifier: MIT
"""The line by which a file says that `strata-ctl install` wrote it, and whether it is still as it was written.

It holds the digest of all the other lines, so a file can be judged by itself: nothing else has to be kept.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_LINE = re.compile(r"(?:#|\.\\\") Written by strata-ctl install, Strata (\S+), sha256 of the rest ([0-9a-f]{64})")
# What must stay a file's first line: zsh's tag (zshcompsys(1)), a man page's list of preprocessors (man(1)).
_FIRST = ("#compdef", "#autoload", "'\\\" ")


class Mark(NamedTuple):
    """`version` of the Strata that wrote the file; `intact`: nobody has changed it since."""

    version: str
    intact: bool


def put(text: str, version: str) -> str:
    """The text with the line in it, as a comment in the text's own language."""
    at = int(text.startswith(_FIRST))
    lines = text.splitlines(keepends=True)
    sign = '.\\"' if text.startswith((".", "'")) else "#"
    lines.insert(at, f"{sign} Written by strata-ctl install, Strata {version}, sha256 of the rest {_digest(lines)}\n")
    return "".join(lines)


def read(text: str) -> Mark | None:
    """The mark of a file, None where there is none: then somebody else wrote it."""
    lines = text.splitlines(keepends=True)
    for at in range(min(2, len(lines))):
        if found := _LINE.fullmatch(lines[at].rstrip("\n")):
            del lines[at]
            return Mark(found[1], found[2] == _digest(lines))
    return None


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("".join(lines).encode()).hexdigest()

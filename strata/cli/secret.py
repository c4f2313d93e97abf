# SPDX-License-Identifier: MIT
"""Where a token comes from. argv is readable by everyone on the machine, so there are ways around it."""

from __future__ import annotations

import sys

from strata.errors import InvalidArgument

MAX_CHARACTERS = 64 * 1024


def token(given: str) -> str:
    """`-` is standard input, `@FILE` that file's content, anything else the token itself. Raises InvalidArgument."""
    if given == "-":
        return _one_word(sys.stdin.read(MAX_CHARACTERS + 1), "standard input")
    if given.startswith("@"):
        return _one_word(_read(given[1:]), given[1:])
    return given


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold ASCII text"
        raise InvalidArgument(f"cannot read the token file {path!r}: {reason}") from error


def _one_word(text: str, where: str) -> str:
    words = text.split()
    if len(words) != 1 or len(text) > MAX_CHARACTERS:
        raise InvalidArgument(f"cannot take a token from {where}: expected one token and nothing else")
    return words[0]

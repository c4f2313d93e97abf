# SPDX-License-Identifier: MIT
"""Writing a piece of a file: plain pwrite(2), and what was written is said even when not all was."""

from __future__ import annotations

import base64
import binascii
import os
from typing import NamedTuple

from strata.errors import InvalidArgument


class Written(NamedTuple):
    """How many bytes were written, and what stopped it, if something did."""

    done: int
    error: OSError | None = None


def write(fd: int, offset: int, data: bytes, truncate: bool = False) -> Written:
    """Write all of `data` at `offset`, after emptying the file if `truncate`. Blocks on the disk."""
    done = 0
    try:
        if truncate:
            os.ftruncate(fd, 0)
        while done < len(data):
            done += os.pwrite(fd, data[done:], offset + done)
    except OSError as error:
        return Written(done, error)
    return Written(done)


def content(text: str | None, encoded: str | None) -> bytes:
    """What to write, from `data` or `data_b64`. Raises InvalidArgument unless exactly one is usable."""
    if (text is None) == (encoded is None):
        raise InvalidArgument("missing data param" if text is None else "give data or data_b64, not both", param="data")
    if text is not None:
        return text.encode()
    try:
        return base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("data_b64 must be standard base64 with padding", param="data_b64") from error

# SPDX-License-Identifier: MIT
"""Parameters of the methods on terminals."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from strata.errors import InvalidArgument
from strata.sandbox.params_session import Addressed
from strata.sandbox.viewer import Size

MOST = 65_535  # struct winsize has 16 bits for each (tty_ioctl(4))

Name = Annotated[str, Meta(description="which terminal of the session")]
Rows = Annotated[int | None, Meta(description="lines of the window, 1 to 65535")]
Cols = Annotated[int | None, Meta(description="characters of a line of it, 1 to 65535")]


class TerminalParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.hangup."""

    terminal: Name = "main"


class AttachParams(TerminalParams, frozen=True, kw_only=True):
    """Parameters of sandbox.attach."""

    rows: Rows = None
    cols: Cols = None
    offset: Annotated[int | None, Meta(description="show its output from here on; absent: all that is kept")] = None
    command: Annotated[str | None, Meta(description="what a new terminal runs; absent: an interactive shell")] = None


class ResizeParams(TerminalParams, frozen=True, kw_only=True):
    """Parameters of sandbox.resize."""

    rows: Annotated[int, Meta(description="lines of the window, 1 to 65535")]
    cols: Annotated[int, Meta(description="characters of a line of it, 1 to 65535")]
    viewer: Annotated[int | None, Meta(description="whose window, as attach told; absent: that of all")] = None


def size(rows: int | None, cols: int | None) -> Size | None:
    """Of a window, or None where none was told. Raises InvalidArgument."""
    if rows is None and cols is None:
        return None
    if rows is None or cols is None or not (0 < rows <= MOST and 0 < cols <= MOST):
        raise InvalidArgument(
            f"cannot use {rows} x {cols} as a size: rows and cols must both be 1 to {MOST}", param="rows"
        )
    return Size(rows, cols)

# SPDX-License-Identifier: MIT
"""Parameters of the methods on a session's files."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from strata import values
from strata.errors import InvalidArgument
from strata.sandbox.params_session import Addressed

Encoded = Annotated[str | None, Meta(description="the same in base64, for a name that is not UTF-8")]
Cursor = Annotated[str | None, Meta(description="where a list goes on: what `next` said")]


class PathParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.stat."""

    path: Annotated[str | None, Meta(description="in the session; a relative one begins at /root")] = None
    path_b64: Encoded = None

    @property
    def place(self) -> dict[str, Any]:
        """The path as a worker takes it. Raises InvalidArgument."""
        return place("path", self.path, self.path_b64)


class FilesParams(PathParams, frozen=True, kw_only=True):
    """Parameters of sandbox.files."""

    cursor: Cursor = None
    after: Cursor = None
    next: Cursor = None


class DiffParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.diff."""

    cursor: Cursor = None
    after: Cursor = None
    next: Cursor = None


class PutParams(PathParams, frozen=True, kw_only=True):
    """Parameters of sandbox.put: one descriptor with the frame, or data, or data_b64."""

    data: Annotated[str | None, Meta(description="text to write, as UTF-8")] = None
    data_b64: Annotated[str | None, Meta(description="bytes to write, in base64")] = None
    mode: Annotated[str | None, Meta(description="in octal, such as 0644; absent: that of the file before")] = None
    size: Annotated[int | None, Meta(description="bytes that are to come; others are refused")] = None
    sha256: Annotated[str | None, Meta(description="of what is to come, in hexadecimal; others are refused")] = None


class GetParams(PathParams, frozen=True, kw_only=True):
    """Parameters of sandbox.get: into one descriptor with the frame, or at most 524288 bytes into the answer."""

    offset: Annotated[int | None, Meta(description="bytes from the start of the file, 0 or more")] = None
    size: Annotated[int | None, Meta(description="bytes to read; absent: all, or as many as the answer holds")] = None


class MkdirParams(PathParams, frozen=True, kw_only=True):
    """Parameters of sandbox.mkdir."""

    parents: Annotated[bool, Meta(description="make those above too; one that is there already is well")] = False
    mode: Annotated[str | None, Meta(description="in octal, such as 0755")] = None


class MoveParams(Addressed, frozen=True, kw_only=True):
    """Parameters of sandbox.move."""

    source: Annotated[str | None, Meta(description="what to move")] = msgspec.field(default=None, name="from")
    source_b64: Encoded = msgspec.field(default=None, name="from_b64")
    to: Annotated[str | None, Meta(description="its new name; a file that is there is replaced")] = None
    to_b64: Encoded = None
    replace: Annotated[bool, Meta(description="false: refuse when something is there")] = True


class RemoveParams(PathParams, frozen=True, kw_only=True):
    """Parameters of sandbox.remove."""

    recursive: Annotated[bool, Meta(description="with all that is below")] = False


class WatchParams(PathParams, frozen=True, kw_only=True):
    """Parameters of sandbox.watch."""

    recursive: Annotated[bool, Meta(description="with every directory below, new ones too")] = False


class ExportParams(PathParams, frozen=True, kw_only=True):
    """Parameters of sandbox.export, with one descriptor for the archive."""

    changes: Annotated[bool, Meta(description="only what has changed, as layers of images are written")] = False
    attributes: Annotated[bool, Meta(description="with extended attributes")] = False


def place(name: str, text: str | None, encoded: str | None) -> dict[str, Any]:
    """A path as a worker takes it: under its name, or its name with _b64. Raises InvalidArgument."""
    if text and encoded:
        raise InvalidArgument(f"give {name} or {name}_b64, not both", param=name)
    if encoded:
        return {f"{name}_b64": encoded}
    if not text:
        raise InvalidArgument(f"missing {name} param", param=name)
    return {name: text}


def cursor(params: FilesParams | DiffParams) -> dict[str, Any]:
    """Where to go on, under whichever of its names."""
    return {"cursor": params.cursor or params.after or params.next}


def mode(text: str | None) -> dict[str, int]:
    """An access mode as a worker takes it. Raises InvalidArgument."""
    return {} if text is None else {"mode": values.mode(text)}


def not_negative(**numbers: int | None) -> dict[str, int]:
    """Those that are given. Raises InvalidArgument, naming the first below 0."""
    for name, number in numbers.items():
        if number is not None and number < 0:
            raise InvalidArgument(f"{name} must not be negative", param=name)
    return {name: number for name, number in numbers.items() if number is not None}

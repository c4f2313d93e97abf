# SPDX-License-Identifier: MIT
"""What the methods of fs take. The descriptions are the documentation."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Path = Annotated[str, Meta(description="below the capability's path_prefix, relative or absolute")]
OptionalPath = Annotated[str | None, Meta(description="below the capability's path_prefix; or give a handle")]
OptionalHandle = Annotated[str | None, Meta(description="what fs.open answered; or give a path")]
Offset = Annotated[int, Meta(description="bytes from the start of the file, 0 or more")]
Create = Annotated[bool, Meta(description="make the file (0644) if it is not there")]
Truncate = Annotated[bool, Meta(description="empty the file first")]


class OpenParams(msgspec.Struct, frozen=True):
    """fs.open."""

    path: Path
    mode: Annotated[str, Meta(description='"r", or "rw" or "w" with the right fs.write too')] = "r"
    create: Create = False
    truncate: Truncate = False


class ReadParams(msgspec.Struct, frozen=True):
    """fs.read."""

    handle: Annotated[str, Meta(description="what fs.open answered")]
    offset: Offset = 0
    size: Annotated[int, Meta(description="bytes to read, at most 1048576; 4096 if 0 or less")] = 0


class ListParams(msgspec.Struct, frozen=True):
    """fs.list."""

    path: Path
    cursor: Annotated[str | None, Meta(description="where a truncated listing goes on")] = None


class StatParams(msgspec.Struct, frozen=True):
    """fs.stat: one of the two."""

    path: OptionalPath = None
    handle: OptionalHandle = None


class WriteParams(msgspec.Struct, frozen=True):
    """fs.write: a path or a handle, data or data_b64."""

    path: OptionalPath = None
    handle: OptionalHandle = None
    offset: Offset = 0
    data: Annotated[str | None, Meta(description="text to write, as UTF-8")] = None
    data_b64: Annotated[str | None, Meta(description="bytes to write, in base64")] = None
    create: Create = False
    truncate: Truncate = False


class CloseParams(msgspec.Struct, frozen=True):
    """fs.close."""

    handle: Annotated[str, Meta(description="what fs.open answered")]


class RevokeParams(msgspec.Struct, frozen=True):
    """fs.revoke."""

    cap_id: Annotated[str, Meta(description="capability to refuse from now on")]

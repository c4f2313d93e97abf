# SPDX-License-Identifier: MIT
"""A method of a room as a row: name, who may call it, what it takes, what runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from strata.types import Access, Peer


class Empty(msgspec.Struct, frozen=True):
    """Parameters of a method that takes none."""


class Call(NamedTuple):
    """What a handler may know of its caller. `claims` is the verified token's, or None when there was none.

    `descriptors` came with the frame. They are closed when the call is answered; who needs one for longer dups it.
    """

    peer: Peer
    req_id: str
    method: str
    token: str = ""
    claims: Any = None
    descriptors: tuple[int, ...] = ()


class Method(NamedTuple):
    """One row of a METHODS table.

    `run(room, call, params)` returns the result, an awaitable of it, or an async iterator (a stream: every item one
    frame). `cancel` says that a caller who hangs up ends the work: for streams and long polls, which change nothing.
    `finish` says that it is work all the same, usually soon over: a room that ends gives it time to be.
    """

    name: str
    access: Access
    params: type[msgspec.Struct]
    run: Callable[[Any, Call, Any], Any]
    summary: str
    cancel: bool = False
    finish: bool = False

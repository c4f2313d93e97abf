# SPDX-License-Identifier: MIT
"""The body of a request of HTTP/1: piece by piece, or whole within bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from strata.api.held import Share
from strata.api.mount import Receive
from strata.errors import InvalidArgument

SMALL = 16_384
"""Bytes that are not worth counting: so much of a request is held in any case."""


class TooLarge(InvalidArgument):
    """A body over its limit; HTTP has a status of its own for it."""

    http: ClassVar[int] = 413


class Gone(Exception):
    """The client hung up before it had sent all it announced."""


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Gone when the client hangs up before its end."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if part := message.get("body", b""):
            yield part
        more = message.get("more_body", False)


async def whole(parts: AsyncIterator[bytes], most: int, told: int | None, share: Share) -> bytes:
    """All of it; `told` is its length, where the client said. The share is the connection's, who releases it.

    Raises TooLarge, Gone, and Unavailable when too much is held already.
    """
    if (told or 0) > most:
        raise _too_large(most)
    first, rest = b"", bytearray()
    async for part in parts:
        if not first:
            first = part
        else:
            rest += part
        size = len(first) + len(rest)
        if size > most:
            raise _too_large(most)
        if size > SMALL:
            share.grow(size - share.size)
    if share.size:
        share.settle()
    return first + rest if rest else first


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"cannot take the request: its body has more than {most} bytes; send less", limit=most)

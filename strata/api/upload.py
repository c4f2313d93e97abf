# SPDX-License-Identifier: MIT
"""What a client sends goes to the room through a pipe, piece by piece; a part of it is never taken for the whole."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from strata.api.beside import beside
from strata.api.pipes import WriteEnd

T = TypeVar("T")
log = logging.getLogger(__name__)

_ABANDON_SECONDS = 30.0


async def upload(ask: Callable[[int], Coroutine[Any, Any, T]], pieces: AsyncIterator[bytes]) -> T:
    """The room's answer to `ask`, which is given the descriptor that the room reads `pieces` from.

    Raises what either of them raises.
    """
    theirs, ours = os.pipe()
    source, whole = WriteEnd(ours), False
    try:
        try:
            result = await beside(ask(theirs), _fed(source, pieces))
            whole = True
        finally:
            os.close(theirs)
            # The room takes the end of the pipe for the end of the file, so half a file must not come to it.
            if not whole and not await source.abandoned(_ABANDON_SECONDS):
                log.error("a broken-off upload was still being read after %g s", _ABANDON_SECONDS)
    finally:
        source.close()
    return result


async def _fed(source: WriteEnd, pieces: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):  # then the room says why it reads no more
        async for piece in pieces:
            await source.write(piece)
        source.close()

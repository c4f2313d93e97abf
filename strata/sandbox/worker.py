# SPDX-License-Identifier: MIT
"""Work that the launcher forks a worker for (its WORKS table), and what the worker answers."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from strata.errors import BY_CODE, Internal, InvalidArgument, StrataError
from strata.sandbox import launching
from strata.sandbox.launching import Launcher
from strata.sandbox.lines import Lines

_LONGEST_SENTENCE = 16_384  # names two paths, which are at most 4096 bytes each


async def result(launcher: Launcher, plan: Mapping[str, Any], fds: Sequence[int]) -> dict[str, Any]:
    """Run one function of the launcher's WORKS table and wait for its result. Raises StrataError.

    `plan` has work, arguments, keepers and inside. Cancelling kills the worker.
    """
    found: dict[str, Any] = {}
    async for message in _answers(launcher, plan, fds):
        found = message.get("result", found)
    return found


async def items(
    launcher: Launcher, plan: Mapping[str, Any], fds: Sequence[int]
) -> AsyncGenerator[dict[str, Any], None]:
    """As `result`, for a function that yields: each of its items."""
    async with contextlib.aclosing(_answers(launcher, plan, fds)) as answers:
        async for message in answers:
            if "item" in message:
                yield message["item"]


async def _answers(
    launcher: Launcher, plan: Mapping[str, Any], fds: Sequence[int]
) -> AsyncGenerator[dict[str, Any], None]:
    reply_r, reply_w = os.pipe2(os.O_CLOEXEC)
    try:
        process = await launcher.fork("work", plan, [reply_w, *fds])
    except BaseException:
        os.close(reply_r)
        raise
    finally:
        os.close(reply_w)
    lines = Lines(reply_r)
    finished = False
    try:
        async for line in lines:
            message = _said(line)
            if "error" in message:
                raise _error(message["error"])
            finished = "result" in message
            yield message
        if not finished:
            raise Internal("cannot finish: the worker ended without an answer; the journal has the details")
    finally:
        lines.close()
        launching.kill(process)


def _said(line: bytes) -> dict[str, Any]:
    """One message of a worker, which is the session's user: one that was taken over may say anything."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not all(isinstance(part, dict) for part in message.values()):
        raise Internal("cannot finish: what the worker answers makes no sense")
    return message


def _error(said: dict[str, Any]) -> StrataError:
    """A worker's error. Code 0 is the system's: what the caller asked for does not go on those files."""
    code, details = said.get("code"), said.get("details")
    kind = InvalidArgument if code == 0 else BY_CODE.get(code if isinstance(code, int) else 0, Internal)
    error = kind(str(said.get("message", ""))[:_LONGEST_SENTENCE])
    error.details = details if isinstance(details, dict) else {}
    return error

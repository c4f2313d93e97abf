# SPDX-License-Identifier: MIT
"""What an event loop and its gateway say to each other: MessagePack in frames, both ends ours."""

from __future__ import annotations

from typing import Any

import msgspec

from strata.systemd.state import Job, UnitStatus


class Ask(msgspec.Struct, frozen=True):
    """A request: an operation of OPERATIONS and its arguments. After `deadline` (CLOCK_MONOTONIC, seconds; 0: never)
    nobody waits for the answer, and it must not be done any more."""

    number: int
    operation: str
    arguments: tuple[Any, ...] = ()
    deadline: float = 0.0


class Up(msgspec.Struct, frozen=True, tag=True):
    """The gateway has been loaded: from now on only systemd can be slow."""


class Answer(msgspec.Struct, frozen=True, tag=True):
    """Its outcome; `code` is 0 or that of a StrataError."""

    number: int
    value: Any = None
    code: int = 0
    message: str = ""


class JobDone(msgspec.Struct, frozen=True, tag=True):
    """A job has ended."""

    job: Job


class UnitChanged(msgspec.Struct, frozen=True, tag=True):
    """What a unit looks like now."""

    status: UnitStatus


Report = Up | Answer | JobDone | UnitChanged

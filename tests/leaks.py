# SPDX-License-Identifier: MIT
"""What a test may leave behind in its own process: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

_SETTLE_SECONDS = 1.0


class Holdings(NamedTuple):
    """The open descriptors (number → what it is), child processes and unfinished asyncio tasks of this process."""

    descriptors: frozenset[tuple[int, str]]
    children: frozenset[int]
    tasks: frozenset[str]


def holdings() -> Holdings:
    """Look at this process now."""
    return Holdings(frozenset(_descriptors()), frozenset(_children()), frozenset(_tasks()))


def left_since(before: Holdings) -> list[str]:
    """What is there that was not there before, once things have settled: an end takes its time to be seen."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while new := _new(before):
        if time.monotonic() > deadline:
            return new
        gc.collect()
        time.sleep(0.01)
    return []


def _new(before: Holdings) -> list[str]:
    now = holdings()
    return [
        *(f"descriptor {fd} → {target}" for fd, target in sorted(now.descriptors - before.descriptors)),
        *(f"child process {pid} ({_name(pid)})" for pid in sorted(now.children - before.children)),
        *(f"asyncio task {task}" for task in sorted(now.tasks - before.tasks)),
    ]


def _descriptors() -> list[tuple[int, str]]:
    found = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(FileNotFoundError):  # the one that lists
            found.append((fd, os.readlink(f"/proc/self/fd/{fd}")))
    return found


def _children() -> list[int]:
    found: list[int] = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.extend(map(int, (thread / "children").read_text().split()))
    return found


def _tasks() -> list[str]:
    # all_tasks() asks for a loop, and a task left behind has often lost its own. The set's name changed in Python 3.12.
    known: Any = getattr(asyncio.tasks, "_scheduled_tasks", None) or getattr(asyncio.tasks, "_all_tasks", ())
    return [repr(task) for task in list(known) if not task.done()]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() or "zombie"
    except OSError:
        return "gone"

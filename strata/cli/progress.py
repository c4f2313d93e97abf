# SPDX-License-Identifier: MIT
"""How far a transfer is, for a person who waits, and whether it arrived whole.

The bytes go between a file of ours and the service without passing here. An open file has one offset for all who share
it (open(2), "open file description"), so the descriptor that was passed tells how far the other side is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from strata.cli import format
from strata.cli.table import printable
from strata.errors import Internal

_FIRST, _EVERY = 0.7, 0.2
"""Seconds until the line appears, so that a short transfer shows none, and between its changes."""

_PIECE = 1 << 20


@contextlib.contextmanager
def shown(fd: int, name: str, size: int | None = None) -> Iterator[None]:
    """A line on stderr while the context lasts, where that is a terminal. `size` in bytes where it is known."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    worker = threading.Thread(target=_show, args=(fd, printable(name), size, done), daemon=True)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def _show(fd: int, name: str, size: int | None, done: threading.Event) -> None:
    started, written = time.monotonic(), False
    patience = _FIRST
    while not done.wait(patience):
        patience = _EVERY
        sys.stderr.write(f"\r\x1b[K{line(name, _moved(fd), size, time.monotonic() - started)}")
        sys.stderr.flush()
        written = True
    if written:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _moved(fd: int) -> int:
    try:
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:  # a pipe has no offset
        return 0


def line(name: str, moved: int, size: int | None, seconds: float) -> str:
    """`big.iso  41%  420.0M of 1.0G  510.2M/s  1s left`."""
    rate = moved / seconds if seconds > 0 else 0.0
    parts = [name, format.size(moved), f"{format.size(int(rate))}/s"]
    if size:
        parts[1:2] = [f"{min(100, moved * 100 // size)}%", f"{format.size(moved)} of {format.size(size)}"]
        if rate:
            parts.append(f"{format.duration((size - moved) / rate)} left")
    return "  ".join(parts)


def check(fd: int, answer: Mapping[str, Any], name: str) -> None:
    """Compare a file of ours with what the other side says it read or wrote. Raises Internal when they differ."""
    ours, size = digest(fd)
    if (ours, size) != (answer.get("sha256"), answer.get("size")):
        raise Internal(
            f"cannot trust the copy of {name}: it has {size} bytes here and {answer.get('size')} there, or another "
            "SHA-256; it was perhaps changed meanwhile, so try again"
        )


def digest(fd: int) -> tuple[str, int]:
    """SHA-256 and size in bytes of an open file, wherever its offset is."""
    found, at = hashlib.sha256(), 0
    while piece := os.pread(fd, _PIECE, at):
        found.update(piece)
        at += len(piece)
    return found.hexdigest(), at

# SPDX-License-Identifier: MIT
"""The terminal that strata-ctl itself runs in: raw while another one shows through it, and as it was afterwards."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import NamedTuple

from strata.errors import InvalidArgument

_PRIVATE_MODE = re.compile(rb"\x1b\[\?([0-9;]{1,64})([hl])")  # DECSET and DECRST, xterm's ctlseqs
_LONGEST = 70

# Modes that programs set and that would spoil a shell's prompt: cursor keys, mouse, focus, paste, other screen.
_SPOILING = ("1", "9", "1000", "1002", "1003", "1004", "1005", "1006", "1015", "2004", "47", "1047", "1049")
_CURSOR = "25"  # the one that is on by nature


class Size(NamedTuple):
    """Lines, and characters of a line."""

    rows: int
    cols: int


def size() -> Size:
    """Of the terminal behind standard output."""
    found = os.get_terminal_size(sys.stdout.fileno())
    return Size(max(1, found.lines), max(1, found.columns))


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Every key goes through as it is. However the context ends, also by a signal, the terminal is as before."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    earlier = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    earlier[signal.SIGCONT] = signal.signal(signal.SIGCONT, lambda *_: _set_raw(fd))  # the shell has set it otherwise
    try:
        _set_raw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _set_raw(fd: int) -> None:
    tty.setraw(fd, termios.TCSANOW)


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


class Modes:
    """What the output that went by has changed of a terminal, and what takes it back."""

    def __init__(self) -> None:
        self._on: set[str] = set()
        self._hidden = False
        self._tail = b""

    def see(self, data: bytes) -> None:
        """Output that was shown, in any pieces."""
        text = self._tail + data
        for found in _PRIVATE_MODE.finditer(text):
            for number in found[1].decode().split(";"):
                self._set(number, found[2] == b"h")
        # Only what is not complete yet: a sequence that was seen must not be seen again.
        last = text.rfind(b"\x1b")
        cut = text[last:] if last >= 0 else b""
        self._tail = cut if len(cut) < _LONGEST and not _PRIVATE_MODE.match(cut) else b""

    def _set(self, number: str, on: bool) -> None:
        if number == _CURSOR:
            self._hidden = not on
        elif number in _SPOILING:
            (self._on.add if on else self._on.discard)(number)

    def undo(self) -> bytes:
        """Escape sequences that make the terminal a shell's again; always colours and the keypad."""
        ordered = [number for number in _SPOILING if number in self._on]
        off = b"".join(b"\x1b[?%bl" % number.encode() for number in ordered)
        return off + (b"\x1b[?25h" if self._hidden else b"") + b"\x1b>\x1b[0m"


def key(text: str) -> bytes:
    """The byte of a key such as `ctrl-]` or `ctrl-p`; none for `none`. Raises InvalidArgument."""
    word = text.lower()
    if word == "none":
        return b""
    name = word.removeprefix("ctrl-").removeprefix("^")
    if name == word or len(name) != 1 or not ("@" <= name.upper() <= "_"):
        raise InvalidArgument(
            f"cannot use {text!r} as a key: expected ctrl-LETTER, one of ctrl-] ctrl-\\ ctrl-^ ctrl-_, or none"
        )
    return bytes([ord(name.upper()) & 0x1F])

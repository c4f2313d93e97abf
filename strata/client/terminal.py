# SPDX-License-Identifier: MIT
"""A terminal that is looked at: a socket with raw bytes both ways, and words about it beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from strata.client.results import TerminalEnd, TerminalInfo, fill, whole
from strata.client.transport import Line
from strata.errors import Internal


class Terminal:
    """Leaving it (`close`, or the end of a `with`) leaves what runs there running; attach again with `offset`."""

    def __init__(self, line: Line, resize: Callable[[str, int, int, int | None], None]) -> None:
        self.socket = line.socket
        self._events, self._resize = line.events, resize
        try:
            self.info, self.viewer, self.offset, self.lost = attached(line.first)
        except Internal:
            self.close()
            raise

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """For select(2) and its like."""
        return self.socket.fileno()

    def send(self, data: bytes) -> None:
        """Type."""
        self.socket.sendall(data)

    def receive(self, size: int = 65_536) -> bytes:
        """What it shows, as soon as there is something; nothing at its end."""
        try:
            data = self.socket.recv(size)
        except ConnectionResetError:  # what was typed last found no reader
            data = b""
        self.offset += len(data)
        return data

    def resize(self, rows: int, cols: int) -> None:
        """Our window has another size."""
        self._resize(self.info.terminal, rows, cols, self.viewer)

    def end(self) -> TerminalEnd:
        """Wait until it is over for us, and say why."""
        for event in self._events:
            if isinstance(event, dict) and "ended" in event:
                return fill(TerminalEnd, event)
        raise Internal("cannot tell how the terminal ended: nothing was said")

    def close(self) -> None:
        """Look no more."""
        self.socket.close()
        self._events.close()


def attached(first: Any) -> tuple[TerminalInfo, int | None, int, int]:
    """What is told first: the terminal, our number, the offset of the first byte, and how many before it are lost."""
    told = first.get("attached") if isinstance(first, dict) else None
    if not isinstance(told, dict):
        raise Internal("cannot attach: the answer does not tell to what")
    return fill(TerminalInfo, told), told.get("viewer"), whole(told.get("offset", 0)), whole(told.get("lost", 0))

# SPDX-License-Identifier: MIT
"""`shell`: a terminal in a session, shown in this one. It goes on when we leave, and when the connection is lost."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from strata.cli import options, outcome, output, sandboxes, screen
from strata.cli.place import Place
from strata.cli.table import printable
from strata.client.transport import Line
from strata.errors import InvalidArgument, StrataError, Unavailable

DETACH = "ctrl-]"
RETURN_SECONDS = 30.0
"""How long to try to come back when the service is restarted."""

_AGAIN_SECONDS = 0.2
_PIECE = 65_536
_END_OF_FILE = b"\x04"
"""Ctrl-D: what a shell ends at, for input that is no terminal's."""
_LOST = ("restart", "slow")
"""Ends of a view that are no end of the terminal: one looks again."""


@click.command("shell")
@options.optional_session
@click.option("--terminal", metavar="NAME", default="main", show_default=True, help="Which of the session's terminals.")
@click.option("--command", "run", metavar="TEXT", help="What a new terminal runs instead of a shell.")
@click.option(
    "--detach-key",
    metavar="KEY",
    default=DETACH,
    show_default=True,
    envvar="STRATA_DETACH_KEY",
    help="Leaves the terminal: ctrl-LETTER or none. STRATA_DETACH_KEY sets it, too.",
)
@options.sandbox_token
def command(place: Place, terminal: str, run: str | None, detach_key: str, token_file: str) -> int:
    """A terminal in a session; without a name, in the `default` one of your own.

    What runs in it goes on when you leave with the detach key or your connection breaks; the same command comes back
    to it, with what it showed meanwhile. Several may look at once. Exit code: the shell's own when it ends, 0 when you
    leave.
    """
    leave = screen.key(detach_key)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidArgument("cannot open a terminal: this is none; `strata-ctl run` and `exec` work without")
    params = {**place.params(), "terminal": terminal, **({"command": run} if run else {})}
    if leave:
        output.note(f"terminal {terminal} of {place}; {detach_key} leaves it")
    ended = look(params, leave, lambda: sandboxes.connect(token_file))
    back = f"strata-ctl shell {place}" + (f" --terminal {terminal}" if terminal != "main" else "")
    return said(ended, f"terminal {terminal} of {place}", back)


def look(params: dict[str, Any], leave: bytes, connect: Callable[[], sandboxes.Room]) -> dict[str, Any]:
    """Show a terminal here, on a terminal or not, until it ends or is left; how it ended. Raises StrataError."""
    view = View(params, leave, connect)
    with view.shown():
        return view.until_it_ends()


def said(ended: dict[str, Any], what: str, back: str) -> int:
    """Tell a person how it ended, and by which command he comes back; the exit code."""
    how = ended["ended"]
    if how == "left":
        output.note(f"left {what}, which goes on; `{back}` comes back")
        return 0
    if how in ("exit", "signal"):
        return outcome.code(ended)
    output.note(f"{what} has ended: {printable(ended.get('error') or how)}")
    return outcome.FAILED


class View:
    """One look at a terminal, over as many connections as it takes. `offset` counts the terminal's bytes shown here."""

    def __init__(self, params: dict[str, Any], leave: bytes, connect: Callable[[], sandboxes.Room]) -> None:
        self._params, self._leave, self._connect = params, leave, connect
        self._on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self._keyboard = True
        self._modes = screen.Modes()
        self._offset: int | None = None
        self._viewer: int | None = None
        self._wakes, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """This terminal becomes that one."""
        earlier = signal.signal(signal.SIGWINCH, lambda *_: None)  # the descriptor below tells
        wakeup = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        try:
            with screen.raw() if self._on_terminal else contextlib.nullcontext():
                try:
                    yield
                finally:
                    if self._on_terminal:
                        _write(self._modes.undo() + b"\r\n")
        finally:
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGWINCH, earlier)
            os.close(self._wake)
            os.close(self._wakes)

    def until_it_ends(self) -> dict[str, Any]:
        """How the terminal ended, or {"ended": "left"}. Comes back to it when the connection is lost."""
        deadline = 0.0
        while True:
            try:
                ended = self._once()
                if ended["ended"] not in _LOST:
                    return ended
                deadline = 0.0
            except Unavailable as error:
                if self._offset is None:
                    raise
                deadline = deadline or time.monotonic() + RETURN_SECONDS
                if time.monotonic() > deadline:
                    return {"ended": "lost", "error": error.message}
            if self._pause():
                return {"ended": "left"}

    def _once(self) -> dict[str, Any]:
        where = {} if self._offset is None else {"offset": self._offset}
        with self._connect() as room:
            line = room.attach({**self._params, **self._size(), **where})
            attached = line.first["attached"]
            self._offset, self._viewer = int(attached["offset"]), attached.get("viewer")
            with line.socket, contextlib.closing(line.events):
                if self._pump(line.socket):
                    return {"ended": "left"}
                return self._end(line)

    @staticmethod
    def _end(line: Line) -> dict[str, Any]:
        with sandboxes.told("attach"):
            for event in line.events:
                if "ended" in event:
                    return dict(event)
        return {"ended": "restart"}

    def _pump(self, ours: socket.socket) -> bool:
        """Bytes both ways until the other side hangs up; true when the user leaves."""
        keyboard, pending = sys.stdin.fileno(), bytearray()
        ours.setblocking(False)
        while True:
            # Typing waits while the terminal takes none, but showing never waits for typing.
            hears = self._keyboard and len(pending) < _PIECE
            reading = [ours, self._wakes, *([keyboard] if hears else [])]
            patience = None if self._keyboard else _AGAIN_SECONDS
            readable, writable, _ = select.select(reading, [ours] if pending else [], [], patience)
            if not readable and not writable:
                pending += _END_OF_FILE  # one that came while a program ran was that program's (n_tty, termios(3))
            if ours in readable and not self._show(ours):
                return False
            if self._wakes in readable:
                self._resize()
            if keyboard in readable and self._typed(pending):
                _send(ours, pending)
                return True
            if writable and not _send(ours, pending):
                return False

    def _show(self, ours: socket.socket) -> bool:
        try:
            data = ours.recv(_PIECE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data:
            self._modes.see(data)
            _write(data)
            self._offset = (self._offset or 0) + len(data)
        return bool(data)

    def _typed(self, pending: bytearray) -> bool:
        """Take what was typed; true when the detach key, or the end of our own terminal, was among it."""
        data = os.read(sys.stdin.fileno(), 4096)
        if not data and not self._on_terminal:
            self._keyboard = False  # what ends the shell is sent when it shows nothing more
            return False
        before, key, _ = data.partition(self._leave) if self._leave else (data, b"", b"")
        pending += before
        return bool(key) or not data

    def _resize(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakes, 4096)
        params = {**self._params, **self._size(), "viewer": self._viewer}
        params.pop("command", None)
        # A connection of its own; when it has ended just now, the stream says so.
        with contextlib.suppress(StrataError), self._connect() as room:
            room.call("resize", params)

    def _size(self) -> dict[str, int]:
        return screen.size()._asdict() if self._on_terminal else {}

    def _pause(self) -> bool:
        """A moment before the next attempt; true when the user leaves meanwhile."""
        readable, _, _ = select.select([sys.stdin] if self._keyboard else [], [], [], _AGAIN_SECONDS)
        return bool(readable) and self._typed(bytearray())


def _send(ours: socket.socket, pending: bytearray) -> bool:
    try:
        del pending[: ours.send(pending)]
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]

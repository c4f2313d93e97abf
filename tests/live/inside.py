# SPDX-License-Identifier: MIT
"""One session of a running Strata, as its callers reach it: calls, streams, passed descriptors, terminals."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import wire
from node import Node
from wire import Wire

SECONDS = 20.0


@dataclass(frozen=True)
class Inside:
    """A session, opened by the first call that needs it."""

    strata: Node
    owner: str
    session: str

    def params(self, more: dict[str, Any]) -> dict[str, Any]:
        return {"owner": self.owner, "session": self.session, **more}

    def call(self, method: str, **params: Any) -> Any:
        return self.strata.call(f"sandbox.{method}", self.params(params))

    def refusal(self, method: str, **params: Any) -> tuple[int, str]:
        return self.strata.refusal(f"sandbox.{method}", self.params(params))

    def run(self, *argv: str, **params: Any) -> Any:
        return self.call("run", argv=list(argv), **params)

    def sh(self, script: str, **params: Any) -> Any:
        return self.run("/bin/sh", "-c", script, **params)

    def begin(self, script: str, **params: Any) -> str:
        """A background run; its id."""
        found: str = self.sh(script, background=True, **params)["id"]
        return found

    @contextlib.contextmanager
    def asked(self, method: str, passed: Sequence[int] = (), **params: Any) -> Iterator[Wire]:
        """A connection over which the method has been called."""
        with self.strata.connect("sandbox") as connection:
            connection.sock.settimeout(SECONDS)
            framed = wire.request(f"sandbox.{method}", self.params(params))
            if passed:
                sent = socket.send_fds(connection.sock, [framed], list(passed))
                connection.sock.sendall(framed[sent:])
            else:
                connection.send(framed)
            yield connection

    def answer(self, method: str, passed: Sequence[int], **params: Any) -> Any:
        """As `call`, with descriptors."""
        with self.asked(method, passed, **params) as connection:
            return wire.result(connection.reply())

    def stream(self, method: str, **params: Any) -> Iterator[Any]:
        """The items of a stream, until its end."""
        with self.asked(method, **params) as connection:
            while (reply := connection.reply()).get("more"):
                yield wire.result(reply)
            wire.result(reply)

    def output(self, number: str, stream: str = "stdout", **params: Any) -> str:
        """What a run wrote to a stream, put together."""
        pieces = self.stream("output", id=number, **params)
        return "".join(piece["data"] for piece in pieces if piece.get("stream") == stream)

    def attach(self, **params: Any) -> Screen:
        return Screen(self, params)

    def processes(self) -> list[str]:
        """Command lines of all that runs in the session, as seen inside."""
        shown = self.sh("for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done")["stdout"]
        return [line.strip() for line in shown.splitlines() if line.strip() and "cmdline" not in line]


@dataclass
class Screen:
    """A viewer of a terminal: what it shows is collected in `seen`."""

    inside: Inside
    wanted: dict[str, Any]
    seen: bytes = b""
    attached: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self.sock, theirs = socket.socketpair()
        self._stack.callback(self.sock.close)
        with theirs:
            self._control = self._stack.enter_context(self.inside.asked("attach", [theirs.fileno()], **self.wanted))
            try:
                self.attached = self.event()["attached"]
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def event(self) -> Any:
        """The next word of the room about this terminal."""
        return wire.result(self._control.reply())

    def type(self, text: str) -> None:
        self.sock.sendall(text.encode())

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until what was seen, without escape sequences, matches."""
        deadline = time.monotonic() + SECONDS
        while not (found := re.search(pattern, self.text, re.DOTALL)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} did not appear: {self.text[-2000:]!r}"
            self.sock.settimeout(left)
            data = self.sock.recv(65_536)
            assert data, f"the terminal ended before {pattern!r} appeared: {self.text[-2000:]!r}"
            self.seen += data
        return found

    def rest(self) -> None:
        """Read until the terminal's end."""
        self.sock.settimeout(SECONDS)
        with contextlib.suppress(ConnectionResetError):
            while data := self.sock.recv(65_536):
                self.seen += data

    @property
    def text(self) -> str:
        """What was seen, as a reader sees it."""
        return re.sub(
            r"\x1b(\[[ -?]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[ -/]*[0-Z^-~])", "", self.seen.decode(errors="replace")
        )

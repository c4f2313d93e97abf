# SPDX-License-Identifier: MIT
"""A terminal over a WebSocket, made to look as one over the unix socket does: a socket with raw bytes, and events."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import threading
from collections.abc import Generator
from typing import Any

from strata.client import websocket
from strata.client.connections import read_json
from strata.client.transport import Line
from strata.client.websocket import BINARY, CLOSE, PING, PONG, TEXT, Decoder, Message
from strata.errors import StrataError, Unavailable

_PIECE = 65_536
_TYPED = 4_096
"""Bytes at a time: a socket that select(2) calls writable takes as many without waiting."""


def line(sock: socket.socket, rest: bytes) -> Line:
    """Take over a socket after the upgrade; `rest` came with its answer. A thread carries the bytes until either side
    hangs up. Raises StrataError."""
    ours, theirs = socket.socketpair()
    bridge = _Bridge(sock, theirs)
    threading.Thread(target=bridge.run, args=(rest,), daemon=True).start()
    events = bridge.events()
    try:
        return Line(ours, next(events, None), events)
    except BaseException:
        ours.close()
        raise


class _Bridge:
    """`_told` holds events, then None at a good end, or what went wrong."""

    def __init__(self, sock: socket.socket, theirs: socket.socket) -> None:
        self._sock, self._theirs = sock, theirs
        self._decoder = Decoder()
        self._told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def events(self) -> Generator[Any, None, None]:
        """What is told of the terminal. Raises StrataError."""
        while (told := self._told.get()) is not None:
            if isinstance(told, StrataError):
                raise told
            yield told

    def run(self, rest: bytes) -> None:
        """Until it is over; closes both sockets."""
        end: StrataError | None = None
        try:
            self._carry(rest)
        except StrataError as error:
            end = error
        except (OSError, ValueError) as error:
            end = Unavailable(f"cannot go on with the terminal: {error}")
        finally:
            self._told.put(end)
            self._theirs.close()
            self._sock.close()

    def _carry(self, rest: bytes) -> None:
        going = self._show(rest)
        while going:
            readable, _, _ = select.select([self._sock, self._theirs], [], [])
            if self._sock in readable:
                going = self._show(self._received())
            if going and self._theirs in readable and not self._type():
                self._sock.sendall(websocket.encode(CLOSE, b"\x03\xe8"))  # 1000: a normal end (RFC 6455, 7.4.1)
                return

    def _received(self) -> bytes:
        data = self._sock.recv(_PIECE)
        if not data:
            raise Unavailable("cannot go on with the terminal: the door hung up")
        return data

    def _show(self, data: bytes) -> bool:
        return all(self._one(message) for message in self._decoder.feed(data))

    def _one(self, message: Message) -> bool:
        """Whether it goes on."""
        if message.kind == BINARY:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody looks any more
                self._theirs.sendall(message.data)
        elif message.kind == TEXT:
            self._told.put(read_json(message.data))
        elif message.kind == PING:
            self._sock.sendall(websocket.encode(PONG, message.data))
        elif message.kind == CLOSE:
            with contextlib.suppress(OSError):
                self._sock.sendall(websocket.encode(CLOSE, message.data[:2]))
            return False
        return True

    def _type(self) -> bool:
        while not select.select([], [self._sock], [], 0)[1]:  # it takes no more; what it shows still comes
            if select.select([self._sock], [self._sock], [])[0] and not self._show(self._received()):
                return False
        data = self._theirs.recv(_TYPED)
        if data:
            self._sock.sendall(websocket.encode(BINARY, data))
        return bool(data)

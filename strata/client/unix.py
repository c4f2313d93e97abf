# SPDX-License-Identifier: MIT
"""The way over the room's own socket: descriptors go along, so that bulk data passes nobody in between."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from strata.client.descriptors import Stdio, in_memory, large
from strata.client.place import Place
from strata.client.transport import Line, Params
from strata.errors import Unavailable
from strata.sockets.client import Client

MOST_IDLE = 8


class UnixTransport:
    """Each call has a connection of its own, so threads may share it; connections are used again."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._idle: list[Client] = []

    def call(self, method: str, params: Params, patient: bool = False) -> Any:
        if method != "sandbox.exec":
            return self._call(method, params, patient)
        with in_memory() as fd:  # for output that no frame can carry
            return large(self._call(method, params, patient, (fd,)), fd)

    def stream(self, method: str, params: Params, descriptors: Sequence[int] = ()) -> Generator[Any, None, None]:
        with self._connection(patient=True) as client:
            yield from client.stream(method, params, self._place.token, descriptors)

    def put(self, params: Params, source: int) -> Any:
        return self._call("sandbox.put", params, True, (source,))

    def get(self, method: str, params: Params, sink: int) -> Any:
        from strata.client.filling import Filling  # takes threads, which most calls can do without

        with Filling(sink) as descriptor:
            return self._call(method, params, True, (descriptor,))

    def run(self, params: Params, stdio: Stdio) -> Any:
        return self._call("sandbox.run", {**params, **stdio.params}, True, stdio.descriptors)

    def attach(self, params: Params) -> Line:
        ours, theirs = socket.socketpair()
        events = self.stream("sandbox.attach", params, (theirs.fileno(),))
        try:
            with theirs:  # closed here once the room has it, or nobody could see that the room closed it
                return Line(ours, next(events, None), events)
        except BaseException:
            ours.close()
            raise

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _call(self, method: str, params: Params, patient: bool, descriptors: Sequence[int] = ()) -> Any:
        with self._connection(patient) as client:
            return client.call(method, params, self._place.token, descriptors=descriptors)

    @contextlib.contextmanager
    def _connection(self, patient: bool) -> Iterator[Client]:
        client = self._take()
        client.wait(None if patient else self._place.timeout)
        try:
            yield client
        finally:
            if client.alive() and len(self._idle) < MOST_IDLE:
                self._idle.append(client)
            else:
                client.close()

    def _take(self) -> Client:
        while self._idle:
            client = self._idle.pop()
            if client.alive():
                return client
            client.close()
        try:
            return Client(self._place.socket, self._place.timeout)
        except Unavailable as error:
            reason = f"cannot reach the sandbox service: {error.message}; start Strata with `strata-ctl up`"
            raise Unavailable(reason) from error

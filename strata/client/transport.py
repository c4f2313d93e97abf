# SPDX-License-Identifier: MIT
"""What the client needs of a way to the sandbox room. There are two: its unix socket, and the HTTP door."""

from __future__ import annotations

import socket
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, Protocol

from strata.client.descriptors import Stdio

Params = Mapping[str, Any]


class Line(NamedTuple):
    """A terminal: raw bytes both ways, what was told first about it, and what is told later."""

    socket: socket.socket
    first: Any
    events: Generator[Any, None, None]


class Transport(Protocol):
    """Results are those of the room's methods, as JSON values; whatever goes wrong is a StrataError."""

    def call(self, method: str, params: Params, patient: bool = False) -> Any:
        """The answer, within the client's time-out unless `patient`."""

    def stream(self, method: str, params: Params) -> Generator[Any, None, None]:
        """Items as they come. Closing it ends the work."""

    def put(self, params: Params, source: int) -> Any:
        """sandbox.put of all that can be read from the descriptor `source`."""

    def get(self, method: str, params: Params, sink: int) -> Any:
        """sandbox.get or sandbox.export into the descriptor `sink`."""

    def run(self, params: Params, stdio: Stdio) -> Any:
        """sandbox.run in the foreground, with descriptors of ours."""

    def attach(self, params: Params) -> Line:
        """sandbox.attach."""

    def close(self) -> None:
        """Give up all connections."""

# SPDX-License-Identifier: MIT
"""How the verbs knock at the sandbox service: the client's own ways there, with what a person typed and should read.

Light: `run` starts with it. So it takes the transport of strata.client, whose typed half costs more than a call.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from strata.cli import secret
from strata.client.descriptors import Stdio
from strata.client.place import TOKEN_FILE, place
from strata.client.transport import Line, Transport
from strata.client.unix import UnixTransport
from strata.errors import Internal, StrataError
from strata.sockets.frame import FrameError

SECONDS = 30.0
"""For answers that do not wait for work of unknown length."""


class Room:
    """The sandbox service. Methods are named without its name before them; errors are sentences for a person."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def call(self, method: str, params: Mapping[str, Any], patient: bool = False) -> Any:
        """The result, as JSON values; `patient` waits for as long as it takes. Raises StrataError."""
        with told(method):
            return self._transport.call(f"sandbox.{method}", params, patient)

    def stream(self, method: str, params: Mapping[str, Any]) -> Generator[Any, None, None]:
        """Results as they come. Raises StrataError. Closing it hangs up."""
        with told(method):
            yield from self._transport.stream(f"sandbox.{method}", params)

    def put(self, params: Mapping[str, Any], source: int) -> Any:
        """A file in, from a descriptor. Raises StrataError."""
        with told("put"):
            return self._transport.put(params, source)

    def get(self, method: str, params: Mapping[str, Any], sink: int) -> Any:
        """A file (`get`) or an archive (`export`) out, into a descriptor. Raises StrataError."""
        with told(method):
            return self._transport.get(f"sandbox.{method}", params, sink)

    def run(self, params: Mapping[str, Any], streams: Mapping[str, int]) -> Any:
        """A command, with descriptors of ours for stdin, stdout and stderr where we have them. Raises StrataError."""
        named = {"descriptors": list(streams)} if streams else {}
        with told("run"):
            return self._transport.run(params, Stdio(named, tuple(streams.values())))

    def attach(self, params: Mapping[str, Any]) -> Line:
        """A terminal. Raises StrataError, also while its events are read."""
        with told("attach"):
            return self._transport.attach(params)


@contextlib.contextmanager
def told(method: str) -> Iterator[None]:
    """What goes wrong in here becomes a sentence that says what was tried. Raises StrataError."""
    try:
        yield
    except (FrameError, ValueError, RecursionError) as error:
        raise Internal(f"cannot read the answer to sandbox.{method}: {error}") from error
    except StrataError as error:
        if error.message.startswith("cannot "):
            raise
        raise type(error)(f"cannot {method}: {error.message}", **error.details) from error


def connect(token_file: str = "", timeout: float = SECONDS) -> Room:
    """The service of this machine; `timeout` in seconds is for what does not wait for work. Raises StrataError.

    The token is that of `token_file`, else of STRATA_TOKEN_FILE, else none: operators are known by their uid.
    """
    file = token_file or os.environ.get(TOKEN_FILE, "")
    return Room(UnixTransport(place(None, secret.token(f"@{file}") if file else "", timeout)))


def ask(
    method: str, params: Mapping[str, Any], token_file: str = "", timeout: float = SECONDS, patient: bool = False
) -> Any:
    """One call. Raises StrataError."""
    with connect(token_file, timeout) as room:
        return room.call(method, params, patient)

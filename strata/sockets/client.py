# SPDX-License-Identifier: MIT
"""The blocking client: standard library only, because the CLI pays for every import at every call."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from strata.errors import BY_CODE, Internal, InvalidArgument, StrataError, Unavailable
from strata.sockets import descriptors as passing
from strata.sockets import frame


class Unread(Unavailable):
    """The service hung up without having read the request: it was not done."""


class Client:
    """One connection to one service. Use as a context manager; it is not safe to share between threads."""

    _untouched = True  # no answer to what was sent last has begun to come

    def __init__(self, path: str | Path, timeout: float | None = None) -> None:
        """Connect to the unix socket at `path`; `timeout` in seconds bounds every wait.

        Raises Unavailable when nobody listens there.
        """
        self.path, self._known = str(path), True
        self._sock = _dial(self.path, timeout)

    @classmethod
    def over(cls, sock: socket.socket, name: str) -> Client:
        """Speak on a connected stream socket of any family (tcp:// endpoints); `name` stands for it in errors."""
        client = cls.__new__(cls)
        client.path, client._sock, client._known = name, sock, False
        return client

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def alive(self) -> bool:
        """Whether another call can be made: nobody has hung up, and nothing waits that nobody asked for."""
        if self._sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def wait(self, timeout: float | None) -> None:
        """Let every wait from here on take `timeout` seconds at most."""
        self._sock.settimeout(timeout)

    def call(
        self, method: str, params: Any = None, token: str = "", req_id: str = "", descriptors: Sequence[int] = ()
    ) -> Any:
        """The `result` of a call (None when it has none). Raises the StrataError that the service answered.

        `descriptors` go with it, where the service takes any; they stay the caller's to close.
        """
        reply = self.exchange(method, params, token, req_id, descriptors)
        if not reply.get("ok"):
            raise error_of(reply)
        return reply.get("result")

    def exchange(
        self, method: str, params: Any = None, token: str = "", req_id: str = "", descriptors: Sequence[int] = ()
    ) -> dict[str, Any]:
        """The whole reply envelope, `ok` or not. Raises Unavailable when the connection breaks."""
        return self._first(method, params, token, req_id, descriptors)

    def stream(
        self, method: str, params: Any = None, token: str = "", descriptors: Sequence[int] = ()
    ) -> Generator[Any, None, None]:
        """Results of a streaming method, until its last. Raises StrataError. Closing it hangs up, which cancels it."""
        with contextlib.closing(self.replies(method, params, token, descriptors)) as replies:
            for reply in replies:
                if not reply.get("ok"):
                    raise error_of(reply)
                if reply.get("more"):
                    yield reply.get("result")

    def replies(
        self, method: str, params: Any = None, token: str = "", descriptors: Sequence[int] = ()
    ) -> Generator[dict[str, Any], None, None]:
        """Every reply envelope of a call: one, or all frames of a stream. Raises Unavailable."""
        reply = self._first(method, params, token, "", descriptors)
        more = True
        try:
            while more:
                more = bool(reply.get("more"))
                yield reply
                reply = self._receive() if more else {}
        finally:
            if more:  # left in the middle: what still comes must not be taken for the next one's
                self.close()

    def _first(self, method: str, params: Any, token: str, req_id: str, descriptors: Sequence[int]) -> dict[str, Any]:
        """Ask; the first reply. A service that is being restarted hangs up, and its successor is asked once more."""
        try:
            self._send(method, params, token, req_id, descriptors)
            return self._receive()
        except Unread:
            if not self._known:
                raise
            self._sock = _dial(self.path, self._sock.gettimeout())
        self._send(method, params, token, req_id, descriptors)
        return self._receive()

    def _send(self, method: str, params: Any, token: str, req_id: str, descriptors: Sequence[int] = ()) -> None:
        self._untouched = True
        request: dict[str, Any] = {"v": 1, "req_id": req_id or new_req_id(), "method": method}
        if token:
            request["auth"] = {"token": token}
        if params is not None:
            request["params"] = params
        try:
            framed = frame.encode(json.dumps(request).encode())
        except frame.FrameError as error:
            raise InvalidArgument(f"cannot call {method}: {error}; send less") from error
        try:
            sent = passing.send(self._sock, framed, descriptors) if descriptors else 0
            self._sock.sendall(memoryview(framed)[sent:])
        except OSError as error:
            raise self._broken(error) from error

    def _receive(self) -> dict[str, Any]:
        try:
            reply = json.loads(self._exactly(frame.payload_size(self._exactly(4))))
        except (frame.FrameError, ValueError, RecursionError) as error:
            self.close()  # what follows on this connection means nothing any more
            raise Internal(f"{self.path} answered with something that is no reply: {error}") from error
        if not isinstance(reply, dict):
            raise Internal(f"{self.path} did not answer with an envelope")
        return reply

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            try:
                part = self._sock.recv(size - len(parts))
            except OSError as error:
                raise self._broken(error) from error
            if not part:
                self.close()
                raise Unavailable(f"{self.path} closed the connection before it answered")
            self._untouched = False
            parts += part
        return bytes(parts)

    def _broken(self, error: OSError) -> Unavailable:
        self.close()  # a late answer must not be taken for the next one's
        reason = "no answer in time" if isinstance(error, TimeoutError) else (error.strerror or error)
        # What a service has read it answers before it hangs up; of what it has not, the kernel tells (unix(7)).
        kind = Unread if self._untouched and isinstance(error, BrokenPipeError | ConnectionResetError) else Unavailable
        return kind(f"cannot reach {self.path}: {reason}")


def _dial(path: str, timeout: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise Unavailable(f"dial {path}: {error.strerror or error}") from error
    return sock


def new_req_id() -> str:
    """16 hexadecimal digits (spec 1.12)."""
    return os.urandom(8).hex()


def error_of(reply: dict[str, Any]) -> StrataError:
    """The typed error in a reply that is not ok."""
    body = reply.get("error")
    if not isinstance(body, dict):
        return Internal("the service answered with an error that has no body")
    code, details = body.get("code"), body.get("details")
    error = BY_CODE.get(code if isinstance(code, int) else 0, Internal)(str(body.get("message", "no message")))
    error.details = details if isinstance(details, dict) else {}
    return error

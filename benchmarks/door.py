# SPDX-License-Identifier: MIT
"""The measuring end of HTTP: connections that stay open, requests that are encoded beforehand.

As in benchmarks/wire.py: what a client library costs is the client's, and must not blur the server's figure.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from typing import Any, NamedTuple

_READ_BYTES = 1_048_576
_END_OF_HEAD = b"\r\n\r\n"


class Address(NamedTuple):
    """Where the door is, and who knocks."""

    host: str
    port: int
    token: str

    def request(self, verb: str, path: str, body: Any = None, accept: str = "application/json") -> bytes:
        """A request as it goes over the wire."""
        raw = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{verb} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Accept: {accept}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw


class Caller:
    """One connection."""

    def __init__(self, address: Address) -> None:
        self.sock = socket.create_connection((address.host, address.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def round_trip(self, request: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError for a refusal: it is quick and must not count as a success."""
        self.sock.sendall(request)
        answer = self.sock.recv(_READ_BYTES)
        while not _is_whole(answer):
            answer += self._more()
        return _body(answer)

    def drain(self, request: bytes) -> int:
        """How many bytes come back for a request whose answer is chunked; nobody looks at them."""
        self.sock.sendall(request)
        buffer = bytearray(_READ_BYTES)
        view, total, tail = memoryview(buffer), 0, b""
        while not tail.endswith(b"0" + _END_OF_HEAD):  # the last chunk (RFC 9112, 7.1)
            count = self.sock.recv_into(buffer)
            if not count:
                raise ConnectionResetError("the door hung up")
            tail = (tail + bytes(view[max(0, count - 8) : count]))[-8:]
            total += count
        return total

    def close(self) -> None:
        self.sock.close()

    def _more(self) -> bytes:
        if not (part := self.sock.recv(_READ_BYTES)):
            raise ConnectionResetError("the door hung up")
        return part


def at_once(address: Address, requests: list[bytes], deadline: float = 60.0) -> tuple[float, list[bytes]]:
    """All requests sent in one moment, each on a connection of its own; seconds until the last answer, and the answers
    as they came, head and body."""
    callers = [Caller(address) for _ in requests]
    answers = [b""] * len(requests)
    try:
        with selectors.DefaultSelector() as selector:
            for number, caller in enumerate(callers):
                selector.register(caller.sock, selectors.EVENT_READ, number)
            start = time.perf_counter()
            for caller, request in zip(callers, requests, strict=True):
                caller.sock.sendall(request)
            while selector.get_map():
                if time.perf_counter() - start > deadline:
                    raise TimeoutError(f"{len(selector.get_map())} of {len(requests)} answers did not come")
                for key, _ in selector.select(1.0):
                    answers[key.data] += callers[key.data]._more()
                    if _is_whole(answers[key.data]):
                        selector.unregister(key.fileobj)
            return time.perf_counter() - start, answers
    finally:
        for caller in callers:
            caller.close()


def is_success(answer: bytes) -> bool:
    """Whether the status is 2xx."""
    return answer.startswith(b"HTTP/1.1 2")


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(_END_OF_HEAD)
    return bool(found) and len(body) >= _length(head)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise RuntimeError(f"cannot measure: an answer without a length: {head[:200]!r}")


def _body(answer: bytes) -> bytes:
    if not is_success(answer):
        raise RuntimeError(f"cannot measure: {answer[:500].decode(errors='replace')}")
    return answer.partition(_END_OF_HEAD)[2]

# SPDX-License-Identifier: MIT
"""Clients of the door: a polite one, and a socket for those that are not."""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any, NamedTuple

from rooms import DEADLINE
from rpc_door import Opened


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(door: Opened, verb: str, path: str, body: Any = None, token: str = "good", **headers: str) -> Answer:
    """One request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=DEADLINE)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    try:
        connection.request(verb, path, body, sent)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def raw(door: Opened, *pieces: bytes) -> bytes:
    """What comes back until the door hangs up."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as sock:
        for piece in pieces:
            sock.sendall(piece)
        return b"".join(iter(lambda: sock.recv(65_536), b""))


def head(path: str = "/api/sessions/a/b/exec", *lines: str, verb: str = "POST") -> bytes:
    """A request up to its body."""
    return "\r\n".join(
        [f"{verb} {path} HTTP/1.1", "Host: 127.0.0.1", "Authorization: Bearer good", *lines, "", ""]
    ).encode()


def wait(condition: Any, what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"it never came true: {what}"
        time.sleep(0.005)

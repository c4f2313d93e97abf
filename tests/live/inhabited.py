# SPDX-License-Identifier: MIT
"""A session with its files, as callers reach it: raw frames to sandbox.sock, descriptors beside them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wire
from node import Node


class Inhabited:
    """One session of `owner`."""

    def __init__(self, strata: Node, owner: str, session: str) -> None:
        self.strata, self.owner, self.session = strata, owner, session

    def params(self, given: dict[str, Any]) -> dict[str, Any]:
        """With the ids of the session, where nothing else is said. `from_` is `from`."""
        named = {name.rstrip("_"): value for name, value in given.items()}
        return {"owner": self.owner, "session": self.session} | named

    def call(self, method: str, fd: int | None = None, **given: Any) -> Any:
        """The result, which must be ok."""
        return wire.result(self.ask(method, fd, **given))

    def refusal(self, method: str, fd: int | None = None, **given: Any) -> tuple[int, str]:
        """Code and message of the error, which there must be."""
        return wire.error(self.ask(method, fd, **given))

    def ask(self, method: str, fd: int | None = None, **given: Any) -> dict[str, Any]:
        """The whole reply."""
        with self.asked(method, fd, **given) as connection:
            return connection.reply()

    @contextlib.contextmanager
    def asked(self, method: str, fd: int | None = None, **given: Any) -> Iterator[wire.Wire]:
        """A connection on which the call was sent; leaving hangs up."""
        with self.strata.connect("sandbox") as connection:
            connection.sock.settimeout(30)
            data = wire.request(f"sandbox.{method}", self.params(given))
            sent = socket.send_fds(connection.sock, [data], [] if fd is None else [fd])
            connection.send(data[sent:])
            yield connection

    def sh(self, command: str) -> str:
        """What a shell inside prints; it must end with 0."""
        done = self.call("run", argv=["/bin/sh", "-c", command])
        assert done["exit_code"] == 0, done
        return str(done["stdout"])

    def background(self, command: str) -> None:
        """A shell that goes on by itself."""
        self.call("run", argv=["/bin/sh", "-c", command], background=True)

    def put(self, path: str, data: bytes, **given: Any) -> Any:
        """By a descriptor."""
        with memory(data) as fd:
            return self.call("put", fd, path=path, **given)

    def get(self, path: str, **given: Any) -> bytes:
        """By a descriptor."""
        with memory() as fd:
            told = self.call("get", fd, path=path, **given)
            return os.pread(fd, told["size"] + 1, 0)

    def changes(self) -> dict[str, str]:
        """What diff tells: path → kind, a star for metadata alone."""
        return {one["path"]: one["kind"] + ("*" if one.get("metadata") else "") for one in self.call("diff")["changes"]}

    def workers(self) -> int:
        """How many processes work on its files now."""
        cgroup = f"/strata-sandbox-{self.owner}-{self.session}.scope/keepers"
        count = 0
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and cgroup in (entry / "cgroup").read_text():
                    count += (entry / "comm").read_text() == "strata-work\n"
        return count


@contextlib.contextmanager
def memory(data: bytes = b"") -> Iterator[int]:
    """A file of the caller's."""
    fd = os.memfd_create("test")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def unpacked(data: bytes, into: Path) -> Path:
    """By GNU tar."""
    into.mkdir()
    subprocess.run(["tar", "-x", "-C", into, "-f", "-"], input=data, check=True)
    return into


def events(connection: wire.Wire) -> Iterator[dict[str, Any]]:
    """The items of a stream."""
    while True:
        reply = connection.reply()
        assert reply["ok"], json.dumps(reply)
        yield reply["result"]

# SPDX-License-Identifier: MIT
"""Strata by its client library, as a program uses it: over the unix socket, and over HTTP."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Iterator

from benchmarks.peers.contract import Box, Isolation, Peer, Sandbox, Tools
from benchmarks.peers.processes import OWNER
from benchmarks.peers.shelled import writer
from strata import __version__
from strata.client import Client

_ISOLATION = Isolation(*[True] * len(Isolation._fields))


class Session:
    """One that is open."""

    def __init__(self, client: Client, name: str) -> None:
        self._session = client.session(OWNER, name)
        self._say("ready")

    def execute(self) -> None:
        self._say("hello")

    def line(self) -> None:
        self._say("hello")

    def start_children(self, count: int) -> None:
        self._session.exec(f"for i in $(seq {count}); do sleep 1000 & done")

    def bulk(self, size: int) -> None:
        reader, written = os.pipe()
        thread = threading.Thread(target=self._run, args=(size, written))
        thread.start()
        got = 0
        while piece := os.read(reader, 1_048_576):
            got += len(piece)
        os.close(reader)
        thread.join()
        if got != size:
            raise RuntimeError(f"{got} bytes came instead of {size}")

    def close(self) -> None:
        self._session.close()

    def _run(self, size: int, out: int) -> None:
        try:
            self._session.run(list(writer(size)), stdout=out)
        finally:
            os.close(out)

    def _say(self, word: str) -> None:
        result = self._session.exec(f"echo {word}")
        if result.stdout != f"{word}\n" or result.exit_code:
            raise RuntimeError(f"the session answered {result}")


class RemoteSession(Session):
    """The same over HTTP: output comes through the door."""

    def bulk(self, size: int) -> None:
        info = self._session.run(list(writer(size)), stdout=self._sink())
        os.close(self._null)
        if not info.ok:
            raise RuntimeError(f"the run ended: {info}")

    def _sink(self) -> int:
        self._null = os.open("/dev/null", os.O_WRONLY)
        return self._null


@functools.cache
def _client(endpoint: str, token: str) -> Client:
    return Client(endpoint, token=token or None, timeout=120)


def over_socket(box: Box) -> Sandbox:
    return Session(_client(box.tools.settings["socket"], ""), box.name)


def over_http(box: Box) -> Sandbox:
    settings = box.tools.settings
    return RemoteSession(_client(f"http://{settings['door']}", settings["token"]), box.name)


@contextlib.contextmanager
def cleared(tools: Tools) -> Iterator[None]:
    """No session of the benchmarks' owner is open before, nor after."""
    _clear(tools)
    try:
        yield
    finally:
        _clear(tools)


def _clear(tools: Tools) -> None:
    client = _client(tools.settings["socket"], "")
    for found in client.sessions(OWNER):
        client.session(OWNER, found.session).close()


OURS = Peer(
    name="Strata",
    what="strata.client over the unix socket",
    isolation=_ISOLATION,
    version=lambda _: __version__,
    missing=lambda _: "",
    open=over_socket,
    execute="session.exec",
    has_line=False,
    around=cleared,
)

HTTP = OURS._replace(name="Strata over HTTP", what="strata.client over HTTP on loopback", open=over_http)

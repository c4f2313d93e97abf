# SPDX-License-Identifier: MIT
"""Commands that run in a session, as the room knows them: how each ended, told by its keeper."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from strata.sandbox.launching import Forked, kill

MOST_TOLD = 65_536
"""Bytes of a status; a keeper says a hundred or so."""


class Ended(NamedTuple):
    """The end of a command: an exit code or a signal; or neither, and `message` says why it never ran (at `stage`:
    join, directory, restrict, exec) or that its end is not known, because its keeper was killed."""

    exit_code: int | None
    signal: int | None
    cpu_ms: float
    max_rss: int
    stage: str = ""
    errno: int = 0
    message: str = ""


class _Word(msgspec.Struct, frozen=True):
    """What a keeper says (launcher/spawn.py). It is the session's user: one that was taken over may say anything."""

    exit_code: Annotated[int, Meta(ge=0, le=255)] | None = None
    signal: Annotated[int, Meta(ge=1, le=64)] | None = None
    cpu_ms: Annotated[float, Meta(ge=0, le=1e15)] = 0.0
    max_rss: Annotated[int, Meta(ge=0, le=2**62)] = 0
    stage: Annotated[str, Meta(max_length=16)] = ""
    errno: Annotated[int, Meta(ge=0, le=4095)] | None = None
    message: Annotated[str, Meta(max_length=4096)] = ""


_word = msgspec.json.Decoder(_Word)


class Child:
    """A running command. `status_fd` is its keeper's word, kept open until the end is known."""

    def __init__(self, keeper: Forked | None, status_fd: int) -> None:
        self.keeper, self.status_fd = keeper, status_fd
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._told = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(status_fd, False)
        self._loop.add_reader(status_fd, self._read)

    def close(self) -> None:
        """Stop waiting for its end; the command goes on."""
        if self.status_fd >= 0:
            self._loop.remove_reader(self.status_fd)
            os.close(self.status_fd)
            self.status_fd = -1
        if self.keeper:
            os.close(self.keeper.pidfd)
            self.keeper = None

    def abandon(self) -> None:
        """Kill its keeper and stop waiting: for a command whose cgroup is killed as well."""
        if self.keeper:
            kill(self.keeper)
            self.keeper = None
        self.close()

    def told(self, data: bytes) -> None:
        """Bytes of the status that were read elsewhere."""
        self._told += data
        if b"\n" in self._told or len(self._told) > MOST_TOLD:
            self._end()

    def _read(self) -> None:
        try:
            data = os.read(self.status_fd, MOST_TOLD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.told(data)
        if not data and self.status_fd >= 0:
            self._end()

    def _end(self) -> None:
        ended = word(self._told.partition(b"\n")[0])
        self.close()
        if not self.ended.done():
            self.ended.set_result(ended)


def watch(keeper: Forked | None, status_fd: int, told: bytes = b"") -> Child:
    """Follow a command that was just started, or (without its keeper) one that a former room started. Takes both
    over."""
    child = Child(keeper, status_fd)
    if told:
        child.told(told)
    return child


def word(line: bytes) -> Ended:
    """What a keeper, or a command that never ran, said in its one line."""
    if not line:
        return _unknown("its keeper was killed")
    try:
        said = _word.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unknown("its keeper's word makes no sense")
    if said.stage:
        return Ended(None, None, 0.0, 0, said.stage, said.errno or 0, said.message)
    if (said.exit_code is None) == (said.signal is None):
        return _unknown("its keeper's word makes no sense")
    return Ended(said.exit_code, said.signal, said.cpu_ms, said.max_rss)


def _unknown(why: str) -> Ended:
    return Ended(None, None, 0.0, 0, message=why)

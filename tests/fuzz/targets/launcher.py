# SPDX-License-Identifier: MIT
"""The channel between room and launcher, from both ends: whole and cut messages, lengths that lie, descriptors beside
any byte of them, none where one is due and more than there may be.

Nothing of a sandbox writes there; what can go wrong is that a process was killed in the middle, or has no descriptor
left. Whatever comes: each message once, with the descriptors that came with it; none is left open.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import unittest.mock
from typing import Any

from hostile.script import Script

from strata.errors import StrataError
from strata.sandbox import launching
from strata.sandbox.launcher import channel
from strata.sandbox.launching import Forked, Launcher, _Request
from strata.sandbox.outgoing import Outgoing

INSTRUMENT = ("strata.sandbox",)
MAX_LEN = 2048
DICTIONARY = (
    b'{"id":1,"pid":',
    b'{"id":2,"error":"',
    b"\0\0\0\x10",
    b"\0\x80\0\0",
    b"\0\x80\0\1",
    b"\xff\xff\xff\xff",
    b"{}",
)
_PATIENCE = 5.0
_loop: asyncio.AbstractEventLoop
_dead, _pidfd = 0, -1


def _said(message: Any, fds: int) -> bytes:
    """As the script below takes it."""
    data = channel.encode(message)
    return bytes([fds, len(data)]) + data


SEEDS = (
    b"\x00" + _said({"id": 1, "do": "work"}, 2) + _said({"id": 2, "do": "spawn"}, 0),
    b"\x00" + _said({"id": 1}, 16)[:-2],
    b"\x00" + bytes([1, 4]) + b"\xff\xff\xff\xff",
    b"\x01" + bytes([1, 3, 1, 1, 5]) + bytes([0, 3, 2, 0, 0]),
    b"\x01" + bytes([0, 3, 1, 1, 2]) + bytes([2, 3, 3, 1, 7]),
    b"\x02" + bytes([3, 200]) + b"x" * 200 + bytes([0, 9]) + b"y" * 9,
)


def setup() -> None:
    global _loop, _dead, _pidfd
    _loop, _dead = asyncio.new_event_loop(), os.fork()
    if not _dead:
        os._exit(0)
    _pidfd = os.pidfd_open(_dead)


def teardown() -> None:
    os.waitpid(_dead, 0)
    os.close(_pidfd)
    _loop.close()


def check(data: bytes) -> None:
    """The first byte chooses who reads; then each piece has a number of descriptors and its bytes."""
    script = Script(data)
    end = script.byte() % 3
    sent = [(script.byte() % 20, script.some()) for _ in range(32) if script]
    before = os.listdir("/proc/self/fd")
    if end == 0:
        _launchers(sent)
    elif end == 1:
        _loop.run_until_complete(asyncio.wait_for(_rooms(sent), _PATIENCE))
    else:
        _loop.run_until_complete(asyncio.wait_for(_outgoing(sent), _PATIENCE))
    assert len(os.listdir("/proc/self/fd")) == len(before), "a descriptor is left"


def _write(sock: socket.socket, sent: list[tuple[int, bytes]]) -> None:
    for count, data in sent:
        if data:
            socket.send_fds(sock, [data], [_pidfd] * count)


def _launchers(sent: list[tuple[int, bytes]]) -> None:
    """What the launcher reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        _write(ours, sent)
        ours.shutdown(socket.SHUT_WR)
        theirs.settimeout(_PATIENCE)
        expected = _messages(b"".join(data for _, data in sent))
        while True:
            try:
                found = channel.receive(theirs)
            except ValueError:
                return
            if found is None:
                assert not expected, f"{expected} were never read"
                return
            message, fds = found
            assert message == expected.pop(0)
            for fd in fds:
                assert not os.get_inheritable(fd)
                os.close(fd)


def _messages(stream: bytes) -> list[Any]:
    found = []
    while len(stream) >= 4 and len(stream) >= 4 + (size := int.from_bytes(stream[:4], "big")):
        try:
            found.append(json.loads(stream[4 : 4 + size]))
        except ValueError:
            break
        stream = stream[4 + size :]
    return found


async def _rooms(sent: list[tuple[int, bytes]]) -> None:
    """What the room reads, cut anywhere: answers to requests, of which the first is still awaited; with a descriptor as
    it should be, with more, or with none, where the kernel had no number left."""
    launcher = Launcher(b"")
    wanted: asyncio.Future[Forked] = _loop.create_future()
    launcher._pending[1] = _Request(wanted, channel.parcel(()))
    ours, theirs = socket.socketpair()
    ended = asyncio.Event()
    with ours, theirs:
        ours.setblocking(False)
        for count, data in sent:
            number, what, cut = (data + b"\0\0\0")[:3]
            made = {"pid": _dead} if what & 1 else {"error": "no"}
            answer = channel.encode({"id": number % 4, **made})
            _write(theirs, [(count if what & 1 else 0, answer[: cut % 8 + 1]), (0, answer[cut % 8 + 1 :])])
        theirs.shutdown(socket.SHUT_WR)
        with unittest.mock.patch("os.kill"):  # what it is told was made and has no descriptor, it ends
            while not ended.is_set():
                launcher._hear(ours, ended)
        with unittest.mock.patch.object(launching.CLOSER, "close", _close):  # now, and not by a thread
            launcher._fail_pending()
    with contextlib.suppress(StrataError):
        launching.kill(await wanted)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


async def _outgoing(sent: list[tuple[int, bytes]]) -> None:
    """What the room sends to one who reads slowly: whole, in order, with its descriptors."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        out = Outgoing(ours)
        expected, found, fds = b"", bytearray(), 0
        for count, data in sent:
            if data:
                out.send(data * 40, [_pidfd] * count)
                expected += data * 40
        while len(found) < len(expected):
            await asyncio.sleep(0)
            try:
                data, passed, _, _ = socket.recv_fds(theirs, 4096, 64)
            except BlockingIOError:
                continue
            found += data
            fds += len(passed)
            for fd in passed:
                os.close(fd)
        assert found == expected
        assert fds == sum(count for count, data in sent if data)
        out.close()

# SPDX-License-Identifier: MIT
"""A service that is restarted behind a socket that goes on listening: nothing that is asked meanwhile is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import directory
from socket_room import Ring, conversation, until

from strata.api.pool import RoomPool
from strata.errors import Unavailable
from strata.sockets import frame
from strata.sockets.client import Client, Unread

ANSWER = frame.encode(b'{"ok":true,"result":{"it":"is done"}}')


@contextlib.contextmanager
def leaving(times: int) -> Iterator[Path]:
    """A service that hangs up `times` times without having read what it was asked; then it answers."""
    with directory() as where, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(where / "sandbox.sock"))
        listener.listen()
        worker = threading.Thread(target=_serve, args=(listener, times))
        worker.start()
        yield where / "sandbox.sock"
        worker.join()


def _serve(listener: socket.socket, times: int) -> None:
    for left in reversed(range(times + 1)):
        peer, _ = listener.accept()
        with peer:
            head = peer.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL)
            if left == 0:
                peer.recv(4 + struct.unpack(">I", head)[0], socket.MSG_WAITALL)
                peer.sendall(ANSWER)


def test_a_client_asks_the_successor_what_was_not_read() -> None:
    with leaving(1) as path, Client(path, timeout=10) as client:
        assert client.call("t.echo") == {"it": "is done"}


def test_a_client_asks_no_third_time() -> None:
    """Whoever hangs up again is not being restarted."""
    with leaving(2) as path:
        with Client(path, timeout=10) as client, pytest.raises(Unavailable):
            client.call("t.echo")
        with Client(path, timeout=10) as client:
            client.call("t.echo")


def test_the_door_asks_the_successor_what_was_not_read() -> None:
    async def ask(path: Path) -> object:
        pool = RoomPool(path, anonymous=True)
        try:
            return await pool.call("sandbox.stats", {})
        finally:
            pool.close()

    with leaving(2) as path:
        assert asyncio.run(ask(path)) == {"it": "is done"}


def test_what_was_read_is_not_asked_again() -> None:
    """It may have been done."""
    with directory() as where, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(where / "x.sock"))
        listener.listen()
        with Client(where / "x.sock", timeout=10) as client:
            peer, _ = listener.accept()
            threading.Timer(0.05, lambda: (peer.recv(65_536), peer.close())).start()
            with pytest.raises(Unavailable) as raised:
                client.call("t.echo")
        assert not isinstance(raised.value, Unread)


@conversation()
async def test_who_has_connected_and_not_spoken_yet_is_answered_before_the_end(ring: Ring) -> None:
    talk = await ring.talk()
    await until(lambda: ring.server.connections, "it is connected")
    closing = asyncio.create_task(ring.server.close())
    await asyncio.sleep(0)
    assert (await talk.call("t.echo", text="just in time"))["ok"]
    await closing


@conversation()
async def test_what_comes_after_the_end_has_begun_is_left_unread(ring: Ring) -> None:
    talk, stuck = await ring.talk(), await ring.talk()
    assert (await talk.call("t.echo", text="x"))["ok"]
    stuck.ask("t.wait")
    await until(lambda: ring.room.entered == 1, "a call runs")
    closing = asyncio.create_task(ring.server.close(grace=10))
    await until(lambda: ring.server.closing, "the end has begun")
    talk.ask("t.echo", text="too late")
    ring.room.open_door.set()
    with pytest.raises(ConnectionResetError):
        await talk.reader.readexactly(4)
    await closing

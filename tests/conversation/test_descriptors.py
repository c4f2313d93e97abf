# SPDX-License-Identifier: MIT
"""Descriptors that come with a frame: they reach its handler, and whatever happens, nobody else holds them after it.

That nothing leaks is seen twice: by the reader of a passed pipe, who gets its end when the last writer is closed, and
by the look at /proc/self/fd after each test.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import socket_room
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from socket_room import Ring, conversation, request, run, serving, until

from strata.sockets import frame, letting_go
from strata.sockets.limits import LIMITS

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")


@pytest.fixture(autouse=True)
def _taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_room, "takes_descriptors", True)


class Line:
    """A raw connection that can pass descriptors."""

    def __init__(self, ring: Ring) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(ring.path))
        self.sock.setblocking(False)

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        assert self.sock.sendmsg([data], rights) == len(data)

    async def exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            part = await asyncio.get_running_loop().sock_recv(self.sock, size - len(got))
            if not part:
                raise EOFError
            got += part
        return got

    async def reply(self) -> Any:
        return json.loads(await self.exactly(frame.payload_size(await self.exactly(4))))

    async def call(self, method: str, descriptors: Sequence[int] = (), **params: Any) -> Any:
        self.send(request(method, **params), descriptors)
        return await self.reply()

    async def hung_up(self) -> list[Any]:
        replies = []
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                replies.append(await self.reply())
        return replies


class Pipes:
    """Pipes whose writing ends are passed; `ended` tells that nobody has one open any more."""

    def __init__(self) -> None:
        self._made = [os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) for _ in range(12)]
        self._writers_open = True

    @property
    def writers(self) -> list[int]:
        return [writer for _, writer in self._made]

    def inodes(self, *which: int) -> list[int]:
        return [os.fstat(self._made[index][0]).st_ino for index in which]

    def close_ours(self) -> None:
        if self._writers_open:
            for writer in self.writers:
                os.close(writer)
        self._writers_open = False

    def ended(self) -> bool:
        """Whether every pipe is at its end; what was written is read and forgotten."""
        self.close_ours()
        try:
            return all(self._at_end(reader) for reader, _ in self._made)
        except BlockingIOError:
            return False

    def _at_end(self, reader: int) -> bool:
        while os.read(reader, 65_536):
            pass
        return True

    def close(self) -> None:
        self.close_ours()
        for reader, _ in self._made:
            os.close(reader)


@contextlib.contextmanager
def talking(ring: Ring) -> Iterator[tuple[Line, Pipes]]:
    with contextlib.closing(Pipes()) as pipes:
        line = Line(ring)
        with line.sock:
            yield line, pipes


def inodes(reply: Any) -> list[int]:
    return [row["inode"] for row in reply["result"]]


# --- to whom they go


@conversation()
async def test_descriptors_reach_the_handler_of_their_frame_close_on_exec(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        reply = await line.call("t.passed", pipes.writers[:4])
        assert inodes(reply) == pipes.inodes(0, 1, 2, 3)
        assert not any(row["inherited"] for row in reply["result"])
        assert inodes(await line.call("t.passed")) == []


@conversation()
async def test_each_pipelined_frame_gets_its_own(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        sent = [(0,), (), (1, 2), (), (), (3, 4, 5, 6), (7,), ()]
        for which in sent:
            line.send(request("t.passed"), [pipes.writers[index] for index in which])
        for which in sent:
            assert inodes(await line.reply()) == pipes.inodes(*which)


@conversation()
async def test_they_wait_behind_a_running_call_for_their_own_frame(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        line.send(request("t.passed_later"), pipes.writers[:1])
        await until(lambda: ring.room.entered, "the slow call runs")
        line.send(request("t.passed"))
        line.send(request("t.passed"), pipes.writers[1:3])
        line.send(request("t.passed"))
        ring.room.open_door.set()
        found = [inodes(await line.reply()) for _ in range(4)]
        assert found == [pipes.inodes(0), [], pipes.inodes(1, 2), []]


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 40])
def test_a_frame_in_pieces_keeps_what_came_with_its_first(cut: int) -> None:
    async def story() -> None:
        async with serving() as ring:
            with talking(ring) as (line, pipes):
                framed = request("t.passed", padding="x" * 60)
                line.send(request("t.passed") + framed[:cut], pipes.writers[:2])
                assert inodes(await line.reply()) == []
                line.send(framed[cut:])
                assert inodes(await line.reply()) == pipes.inodes(0, 1)

    run(story())


@conversation()
async def test_a_frame_of_a_mebibyte_keeps_what_came_with_its_first_bytes(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        framed = request("t.passed", padding="x" * 1_000_000)
        line.send(framed[:1000], pipes.writers[:3])
        await asyncio.get_running_loop().sock_sendall(line.sock, framed[1000:])
        assert inodes(await line.reply()) == pipes.inodes(0, 1, 2)


def test_a_server_that_takes_none_serves_the_call_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_room, "takes_descriptors", False)
    monkeypatch.setattr(letting_go, "refuse", lambda sock: False)  # as before Linux 6.16

    async def story() -> None:
        async with serving() as plain:
            with talking(plain) as (line, pipes):
                assert inodes(await line.call("t.passed", pipes.writers[:2])) == []
                await until(pipes.ended, "they are closed")

    run(story())


def test_a_server_that_takes_none_has_the_kernel_refuse_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_room, "takes_descriptors", False)
    with socket.socket(socket.AF_UNIX) as probe:
        if not letting_go.refuse(probe):
            pytest.skip("needs Linux 6.16, which can refuse descriptors")

    async def story() -> None:
        async with serving() as plain:
            with talking(plain) as (line, pipes), pytest.raises(PermissionError):
                line.send(request("t.passed"), pipes.writers[:2])

    run(story())


# --- what takes long to close


def lingering(seconds: int) -> tuple[socket.socket, socket.socket]:
    """A connection whose first end takes so long to close: what was sent is never taken (SO_LINGER, socket(7))."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            near.send(bytes(65_536))
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    return near, far


@pytest.mark.parametrize("takes", [True, False])
def test_one_that_lingers_when_it_is_closed_holds_nobody_up(takes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds each, whoever passes them: with a call, and with half a frame when its sender has hung up."""
    monkeypatch.setattr(socket_room, "takes_descriptors", takes)
    monkeypatch.setattr(letting_go, "refuse", lambda sock: False)

    async def story() -> None:
        async with serving() as ring:
            began = time.monotonic()
            for data in (request("t.passed"), request("t.passed")[:9]):
                near, far = lingering(10)
                with far, near, talking(ring) as (line, _):
                    line.send(data[:5], [near.fileno()])
                    near.close()  # the server has the last one from here on
                    await asyncio.sleep(0)
                    line.sock.send(data[5:])
                    if data == request("t.passed"):
                        await line.reply()
                async with asyncio.timeout(5):
                    other = await ring.talk()
                    await other.call("t.passed")
            assert time.monotonic() - began < 5

    run(story())


# --- when they are closed


@pytest.mark.parametrize(
    "method",
    ["t.passed", "t.later", "t.fail", "t.fail_later", "t.refuse", "t.secret", "t.count", "t.broken_stream", "t.nope"],
)
def test_they_are_closed_when_the_call_is_answered_however(method: str) -> None:
    async def story() -> None:
        async with serving() as ring:
            with talking(ring) as (line, pipes):
                line.send(request(method, text="x"), pipes.writers[:3])
                assert "ok" in await line.reply()
                await until(pipes.ended, "nobody holds them")
                line.send(request("t.echo", "last", text="x"))
                while (await line.reply())["req_id"] != "last":
                    pass

    run(story())


@pytest.mark.parametrize("data", [frame.encode(b"{"), frame.encode(b"null"), b"\xff" * 8, b"\0\0\0\0"])
def test_they_are_closed_when_what_they_came_with_is_no_call(data: bytes) -> None:
    async def story() -> None:
        async with serving() as ring:
            with talking(ring) as (line, pipes):
                line.send(data, pipes.writers[:3])
                await until(pipes.ended, "nobody holds them")
            await ring.works()

    run(story())


@conversation()
async def test_they_are_open_as_long_as_a_stream_and_closed_when_its_reader_hangs_up(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        line.send(request("t.write", text="x"), pipes.writers[:1])
        await line.reply()
        assert not pipes.ended()
        line.sock.close()
        await until(lambda: ring.room.ended == ["closed"], "the stream ended")
        await until(pipes.ended, "nobody holds it")


@conversation()
async def test_a_call_that_outlives_its_caller_keeps_them_until_it_is_done(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        line.send(request("t.passed_later"), pipes.writers[:1])
        line.send(request("t.passed"), pipes.writers[1:3])
        await until(lambda: ring.room.entered and ring.server.descriptors, "one runs, one waits")
        line.sock.close()
        assert not pipes.ended()
        ring.room.open_door.set()
        await until(pipes.ended, "who ran is done, and who waited has nobody left to answer")


@conversation()
async def test_a_handler_keeps_what_it_dups(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        assert (await line.call("t.keep", pipes.writers[:1]))["ok"]
        assert not pipes.ended()
        os.close(ring.room.kept.pop())
        await until(pipes.ended, "the handler closed it")


@conversation(frame_seconds=0.2)
async def test_half_a_frame_holds_them_no_longer_than_its_deadline(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        line.send(b"\0\0\1\0{", pipes.writers[:4])
        await until(lambda: ring.server.descriptors, "they are here")
        assert await line.hung_up() == []
        await until(pipes.ended, "they are closed")


@conversation()
async def test_half_a_frame_and_a_hang_up_close_them(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        line.send(b"\0", pipes.writers[:4])
        await until(lambda: ring.server.descriptors, "they are here")
        line.sock.close()
        await until(pipes.ended, "they are closed")


@conversation()
async def test_the_end_of_the_server_closes_them(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        line.send(request("t.poll"), pipes.writers[:1])
        line.send(request("t.passed"), pipes.writers[1:2])
        await until(lambda: ring.room.entered and ring.server.descriptors, "one runs, one waits")
        await ring.server.close(grace=0.0)
        await until(pipes.ended, "nobody holds them")


# --- too many


@pytest.mark.parametrize("groups", [[5], [12], [3, 3], [4, 1], [1, 1, 1, 1, 1]], ids=str)
def test_more_descriptors_than_a_frame_carries_are_refused_and_closed(groups: list[int]) -> None:
    async def story() -> None:
        async with serving() as ring:
            with talking(ring) as (line, pipes):
                framed = request("t.passed", padding="x" * 50)
                for count in groups:
                    line.send(framed[:8], pipes.writers[:count])
                    framed = framed[8:]
                replies = await line.hung_up()
                assert [(reply["req_id"], reply["error"]["code"]) for reply in replies] == [("", 1)]
                assert "send fewer" in replies[0]["error"]["message"]
                await until(pipes.ended, "nobody holds them")
            await ring.works()

    run(story())


@conversation()
async def test_descriptors_behind_a_running_call_wait_in_the_kernel(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        line.send(request("t.wait"))
        await until(lambda: ring.room.entered, "the slow call runs")
        for _ in range(30):
            line.send(request("t.passed"), pipes.writers[:3])
        await until(lambda: ring.server.descriptors[os.geteuid()] >= 8, "some arrived")
        await ring.works()
        assert ring.server.descriptors[os.geteuid()] < 8 + 3
        ring.room.open_door.set()
        assert (await line.reply())["ok"]
        for _ in range(30):
            assert inodes(await line.reply()) == pipes.inodes(0, 1, 2)


_STRANGER = """
import array, json, os, socket, sys
fd, replies, held = os.open("/dev/null", os.O_RDONLY), [], []
for _ in range(int(sys.argv[2])):
    sock = socket.socket(socket.AF_UNIX); sock.settimeout(10); sock.connect(sys.argv[1]); held.append(sock)
    sock.sendmsg([b"\\0\\0\\1\\0{"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 4))])
size = int.from_bytes(held[-1].recv(4, socket.MSG_WAITALL), "big")
print(held[-1].recv(size, socket.MSG_WAITALL).decode())
"""


@needs_root
@conversation(descriptors_per_uid=12)
async def test_one_uid_has_its_share_of_waiting_descriptors(ring: Ring) -> None:
    argv = [os.path.realpath(sys.executable), "-I", "-S", "-c", _STRANGER, str(ring.path), "4"]
    done = await asyncio.to_thread(
        subprocess.run, argv, user=65534, group=65534, extra_groups=[], cwd="/", capture_output=True, timeout=10
    )
    assert json.loads(done.stdout)["error"]["code"] == 7
    with talking(ring) as (line, pipes):
        assert inodes(await line.call("t.passed", pipes.writers[:4])) == pipes.inodes(0, 1, 2, 3)


@conversation()
async def test_a_server_without_a_free_descriptor_says_so_and_goes_on(ring: Ring) -> None:
    with talking(ring) as (line, pipes):
        other = await ring.talk()
        await until(lambda: len(ring.server.connections) == 2, "both are connected")
        line.send(request("t.passed"), pipes.writers[:3])
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        probe = os.open("/dev/null", os.O_RDONLY)  # the lowest free number: room for one
        os.close(probe)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe + 1, before[1]))
        try:
            assert [reply["error"]["code"] for reply in await line.hung_up()] == [6]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        await until(pipes.ended, "nobody holds them")
        assert (await other.call("t.echo", text="x"))["ok"]


@conversation()
async def test_newcomers_wait_while_there_is_no_descriptor_for_them(ring: Ring) -> None:
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.setblocking(False)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        probe = os.open("/dev/null", os.O_RDONLY)
        os.close(probe)
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe, before[1]))
        try:
            waiting.connect(str(ring.path))
            waiting.send(request("t.echo", text="x"))
            await asyncio.sleep(0.05)
            assert not ring.server.connections
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        header = await asyncio.get_running_loop().sock_recv(waiting, 4)
        assert frame.payload_size(header)


piece = st.tuples(
    st.one_of(
        st.sampled_from(["t.passed", "t.later", "t.count", "t.fail", "t.secret", "nope"]).map(
            lambda name: request(name, text="x", size=3)
        ),
        st.binary(min_size=1, max_size=40),
        st.sampled_from(["t.passed", "t.later"]).flatmap(
            lambda name: st.integers(1, 40).map(lambda at: request(name, text="x")[:at])
        ),
    ),
    st.integers(0, 5),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(piece, max_size=6), min_size=1, max_size=3))
def test_after_any_conversation_nobody_holds_a_descriptor(peers: list[list[tuple[bytes, int]]]) -> None:
    async def story() -> None:
        async with serving(LIMITS._replace(frame_seconds=0.5)) as ring:
            with contextlib.closing(Pipes()) as pipes, contextlib.ExitStack() as stack:
                lines = [Line(ring) for _ in peers]
                for line, pieces in zip(lines, peers, strict=True):
                    stack.enter_context(line.sock)
                    for data, count in pieces:
                        with contextlib.suppress(OSError):
                            line.send(data, pipes.writers[:count])
                        await asyncio.sleep(0)
                stack.close()
                await until(pipes.ended, "nobody holds them")
            await ring.works()

    run(story())

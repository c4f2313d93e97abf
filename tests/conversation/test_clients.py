# SPDX-License-Identifier: MIT
"""Both clients, against the real server and against services that answer nonsense; and where sockets come from."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import socket_room
from socket_room import Ring, conversation, open_directory, run, serving, until

from strata.errors import (
    Conflict,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    StrataError,
    Unauthenticated,
    Unavailable,
)
from strata.sockets import async_client, frame, listen
from strata.sockets.async_client import AsyncClient
from strata.sockets.client import Client, error_of
from strata.sockets.pool import Pool


@pytest.fixture
def directory() -> Iterator[Path]:
    with open_directory() as found:
        yield found


# --- against the real server


@conversation()
async def test_the_blocking_client_calls_streams_and_raises_typed_errors(ring: Ring) -> None:
    def talk() -> None:
        with Client(ring.path, timeout=5) as client:
            assert client.call("t.echo", {"text": "hé"}) == {"text": "hé"}
            assert client.call("t.secret", token="good") == {"claims": {"sub": "me"}}
            assert client.exchange("nope", req_id="mine")["req_id"] == "mine"
            assert [item["number"] for item in client.stream("t.count", {"size": 3})] == [0, 1, 2]
            with pytest.raises(NotFound, match="no such thing") as caught:
                client.call("t.refuse")
            assert caught.value.details == {"thing": "x"}
            with pytest.raises(Unauthenticated):
                client.call("t.secret")
            with pytest.raises(InvalidArgument, match="send less"):
                client.call("t.echo", {"text": "x" * 2_000_000})
            assert client.call("t.echo", {"text": "still"}) == {"text": "still"}

    await asyncio.to_thread(talk)


@conversation()
async def test_the_async_client_calls_and_raises_typed_errors(ring: Ring) -> None:
    client = await AsyncClient.connect(ring.path)
    assert await client.call("t.echo", {"text": "hé"}) == {"text": "hé"}
    assert await client.call("t.secret", token="good") == {"claims": {"sub": "me"}}
    with pytest.raises(NotFound, match="no such thing"):
        await client.call("t.refuse")
    with pytest.raises(InvalidArgument, match="send less"):
        await client.call("t.echo", {"text": "x" * 2_000_000})
    texts = [str(number) for number in range(50)]
    answers = await asyncio.gather(*(client.call("t.later", {"text": text}) for text in texts))
    assert [answer["text"] for answer in answers] == texts
    client.close()
    assert await async_client.call(ring.path, "t.echo", {"text": "x"}) == {"text": "x"}


@conversation()
async def test_an_answer_that_comes_too_late_is_never_taken_for_the_next(ring: Ring) -> None:
    client = await AsyncClient.connect(ring.path)
    with pytest.raises(Unavailable, match="no answer in time"):
        await client.call("t.wait", timeout=0.05)
    ring.room.open_door.set()
    with pytest.raises(Unavailable):
        await client.call("t.echo", {"text": "x"})

    def blocking() -> None:
        ring.room.open_door.clear()
        with Client(ring.path, timeout=0.05) as late:
            with pytest.raises(Unavailable, match="no answer in time"):
                late.call("t.wait")
            with pytest.raises(Unavailable):
                late.call("t.echo", {"text": "x"})

    await asyncio.to_thread(blocking)
    ring.room.open_door.set()


@conversation()
async def test_a_cancelled_call_closes_its_connection(ring: Ring) -> None:
    client = await AsyncClient.connect(ring.path)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.call("t.poll", timeout=None)
    with pytest.raises(Unavailable):
        await client.call("t.echo", {"text": "x"})


# --- against services that answer nonsense

NONSENSE = {
    "nothing": b"",
    "half a header": b"\0\0",
    "half a frame": b"\0\0\0\x64{",
    "a frame of 0": b"\0\0\0\0",
    "a frame of 4 GiB": b"\xff\xff\xff\xff",
    "no JSON": frame.encode(b"{"),
    "no envelope": frame.encode(b"[]"),
    "no Unicode": frame.encode(b'"\xff"'),
    "deep nesting": frame.encode(b"[" * 500_000),
    "an error without a body": frame.encode(b'{"v":1,"ok":false}'),
    "an error that is a string": frame.encode(b'{"v":1,"ok":false,"error":"no"}'),
    "an error with a code of the wrong type": frame.encode(b'{"v":1,"ok":false,"error":{"code":"x","details":5}}'),
    "an error with details named like its own": frame.encode(
        b'{"v":1,"ok":false,"error":{"code":4,"message":"m","details":{"message":"x","self":1}}}'
    ),
}


@contextlib.contextmanager
def nonsense(path: Path, answer: bytes) -> Iterator[None]:
    """A service that answers these bytes to anything, and hangs up."""
    listener = listen.bound(path)

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65_536)
            sock.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        listener.close()


def blocking_call(path: Path) -> Any:
    with Client(path, timeout=5) as client:
        return client.call("t.echo")


def async_call(path: Path) -> Any:
    return run(async_client.call(path, "t.echo"))


@pytest.mark.parametrize("call", [blocking_call, async_call])
@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE.keys())
def test_a_service_that_answers_nonsense_is_a_typed_error(
    call: Callable[[Path], Any], answer: bytes, directory: Path
) -> None:
    with nonsense(directory / "n.sock", answer), pytest.raises(StrataError) as caught:
        call(directory / "n.sock")
    assert caught.value.message


def test_details_named_like_the_errors_own_fields_are_kept() -> None:
    error = error_of({"ok": False, "error": {"code": 4, "message": "m", "details": {"message": "x", "self": 1}}})
    assert (type(error), error.message, error.details) == (NotFound, "m", {"message": "x", "self": 1})
    assert type(error_of({"ok": False, "error": {"code": 99}})) is Internal


@pytest.mark.parametrize("call", [blocking_call, async_call])
def test_nobody_there_is_unavailable_and_names_the_socket(call: Callable[[Path], Any], directory: Path) -> None:
    (directory / "dead.sock").touch()
    for path in (directory / "none.sock", directory / "dead.sock", directory / ("x" * 200)):
        with pytest.raises(Unavailable, match=path.name[:20]):
            call(path)


# --- listening


def test_a_stale_socket_is_replaced_and_open_to_all(directory: Path) -> None:
    path = directory / "s.sock"
    listen.bound(path).close()
    with listen.bound(path):
        assert path.stat().st_mode & 0o777 == 0o666


def test_a_socket_that_answers_is_never_taken_over(directory: Path) -> None:
    path = directory / "s.sock"
    with listen.bound(path), pytest.raises(Conflict, match="another process already does"):
        listen.bound(path)


def test_a_process_that_hangs_still_owns_its_socket(directory: Path) -> None:
    path = directory / "s.sock"
    with socket.socket(socket.AF_UNIX) as hung, contextlib.ExitStack() as waiting:
        hung.bind(str(path))
        hung.listen(0)
        for _ in range(2):
            sock = waiting.enter_context(socket.socket(socket.AF_UNIX))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(str(path))
        with pytest.raises(Conflict):
            listen.bound(path)


def test_a_file_in_the_sockets_place_is_left_alone(directory: Path) -> None:
    path = directory / "s.sock"
    path.write_text("precious")
    with pytest.raises(Conflict, match="no socket"):
        listen.bound(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["missing/s.sock", "x" * 200])
def test_a_path_that_cannot_be_is_told(name: str, directory: Path) -> None:
    with pytest.raises(Unavailable, match="cannot listen on"):
        listen.bound(directory / name)


INHERITS = """
import json, os
from strata.sockets import listen
found = listen.inherited()
again = listen.inherited()
print(json.dumps({"names": {name: sock.getsockname() for name, sock in found.items()}, "again": len(again),
                  "inheritable": any(sock.get_inheritable() for sock in found.values()),
                  "left": [key for key in os.environ if key.startswith("LISTEN_")]}))
"""


def inherits(sockets: list[socket.socket], **env: str) -> Any:
    """What a process that gets these sockets the way systemd passes them finds."""
    spare = [sock.fileno() for sock in sockets]

    def hand_over() -> None:
        high = [os.dup(fd) for fd in spare]  # 3 may be one of them
        for target, fd in enumerate(high, start=3):
            os.dup2(fd, target)
        os.environ.update(env)

    program = f"import os; os.environ['LISTEN_PID'] = os.environ.get('FIXED_PID') or str(os.getpid())\n{INHERITS}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **env},
        close_fds=False,
        preexec_fn=hand_over,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_sockets_from_systemd_are_taken_by_name_once_and_not_passed_on(directory: Path) -> None:
    with listen.bound(directory / "a.sock") as first, listen.bound(directory / "b.sock") as second:
        found = inherits([first, second], LISTEN_FDS="2", LISTEN_FDNAMES="one:two")
    assert found == {
        "names": {"one": str(directory / "a.sock"), "two": str(directory / "b.sock")},
        "again": 0,
        "inheritable": False,
        "left": [],
    }


@pytest.mark.parametrize("names", ["", "same:same", "only"])
def test_sockets_without_a_name_of_their_own_are_all_kept(names: str, directory: Path) -> None:
    with listen.bound(directory / "a.sock") as first, listen.bound(directory / "b.sock") as second:
        found = inherits([first, second], LISTEN_FDS="2", LISTEN_FDNAMES=names)
    assert sorted(found["names"].values()) == [str(directory / "a.sock"), str(directory / "b.sock")]


def test_sockets_meant_for_another_process_are_not_taken(directory: Path) -> None:
    with listen.bound(directory / "a.sock") as first:
        assert inherits([first], LISTEN_FDS="1", FIXED_PID="1")["names"] == {}


def test_a_client_of_a_service_that_is_down_waits_in_the_queue(directory: Path) -> None:
    """What keeps clients unharmed over a restart: connect(2) succeeds as long as somebody holds the socket."""
    with listen.bound(directory / "q.sock") as listener, Client(directory / "q.sock", timeout=5) as client:
        threading.Thread(target=lambda: (time.sleep(0), answer_one(listener))).start()
        assert client.call("t.any") == {"late": True}


def answer_one(listener: socket.socket) -> None:
    sock, _ = listener.accept()
    with sock:
        sock.recv(65_536)
        sock.sendall(frame.encode(b'{"v":1,"req_id":"","ok":true,"result":{"late":true}}'))


# --- streams, descriptors, and many connections


@conversation()
async def test_an_async_stream_ends_with_its_last_and_the_connection_goes_on(ring: Ring) -> None:
    client = await AsyncClient.connect(ring.path)
    assert [item["number"] async for item in client.stream("t.count", {"size": 3})] == [0, 1, 2]
    with pytest.raises(NotFound, match="the rest is missing"):
        assert [item async for item in client.stream("t.broken_stream")]
    assert await client.call("t.echo", {"text": "x"}) == {"text": "x"}
    client.close()


@conversation()
async def test_closing_an_async_stream_cancels_the_work(ring: Ring) -> None:
    pool = Pool(ring.path)
    async with contextlib.aclosing(pool.stream("t.endless", {"size": 100_000})) as items:
        assert len((await anext(items))["blob"]) == 100_000
    await until(lambda: ring.room.ended == ["closed"], "the stream ended")
    assert await pool.call("t.echo", {"text": "x"}) == {"text": "x"}
    pool.close()


@conversation()
async def test_leaving_a_blocking_stream_cancels_the_work_and_closes_the_connection(ring: Ring) -> None:
    def talk() -> None:
        with Client(ring.path, timeout=5) as client:
            with contextlib.closing(client.stream("t.endless")) as items:
                assert next(items)
            with pytest.raises(Unavailable):
                client.call("t.echo", {"text": "x"})

    await asyncio.to_thread(talk)
    await until(lambda: ring.room.ended == ["closed"], "the stream ended")


@conversation()
async def test_a_stream_that_nobody_reads_waits_with_the_service(ring: Ring) -> None:
    pool = Pool(ring.path)
    async with contextlib.aclosing(pool.stream("t.endless", {"size": 100_000})) as items:
        await anext(items)
        await until(lambda: any(c._clear_to_write for c in ring.server.connections), "the service is held back")
        assert ring.room.entered < 100
        for _ in range(100):
            assert len((await anext(items))["blob"]) == 100_000
    pool.close()


@conversation()
async def test_a_stream_that_falls_silent_for_too_long_is_unavailable(ring: Ring) -> None:
    pool = Pool(ring.path)
    with pytest.raises(Unavailable, match="no answer in time"):
        assert [item async for item in pool.stream("t.poll", timeout=0.05)]
    pool.close()


@conversation()
async def test_the_pool_makes_calls_side_by_side_and_uses_connections_again(ring: Ring) -> None:
    pool = Pool(ring.path, most=20)
    texts = [str(number) for number in range(20)]
    for _ in range(5):
        answers = await asyncio.gather(*(pool.call("t.later", {"text": text}) for text in texts))
        assert [answer["text"] for answer in answers] == texts
    assert len(ring.server.connections) == 20
    pool.close()


@conversation()
async def test_the_pool_has_a_bound_and_says_so(ring: Ring) -> None:
    pool = Pool(ring.path, most=2)
    slow = [asyncio.create_task(pool.call("t.wait")) for _ in range(2)]
    await until(lambda: ring.room.entered == 2, "two calls run")
    with pytest.raises(ResourceExhausted, match="under way"):
        await pool.call("t.echo", {"text": "x"})
    ring.room.open_door.set()
    await asyncio.gather(*slow)
    assert await pool.call("t.echo", {"text": "x"}) == {"text": "x"}
    pool.close()


@conversation()
async def test_a_cancelled_call_of_the_pool_is_cancelled_with_the_service_too(ring: Ring) -> None:
    pool = Pool(ring.path)
    call = asyncio.create_task(pool.call("t.poll"))
    await until(lambda: ring.room.entered, "it runs")
    call.cancel()
    await until(lambda: ring.room.ended == ["cancelled"], "its work ended")
    pool.close()


@conversation()
async def test_the_pool_outlives_a_restart_of_the_service(ring: Ring) -> None:
    pool = Pool(ring.path)
    await asyncio.gather(*(pool.call("t.later", {"text": "x"}) for _ in range(3)))
    for connection in tuple(ring.server.connections):
        connection.drop()
    await until(lambda: not ring.server.connections, "all are dropped")
    assert await pool.call("t.echo", {"text": "x"}) == {"text": "x"}
    pool.close()


@pytest.mark.parametrize("size", [10, 900_000])
def test_both_clients_pass_descriptors(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_room, "takes_descriptors", True)

    async def story() -> None:
        async with serving() as ring:
            params = {"padding": "x" * size, "text": "hello"}
            reader, writer = os.pipe()
            inode = os.fstat(writer).st_ino

            def blocking() -> Any:
                with Client(ring.path, timeout=5) as client:
                    return client.call("t.passed", params, descriptors=[writer])

            pool = Pool(ring.path)
            for found in (
                await asyncio.to_thread(blocking),
                await pool.call("t.passed", params, descriptors=[writer]),
                await pool.call("t.passed", params, descriptors=[writer]),
            ):
                assert [row["inode"] for row in found] == [inode]
            async with contextlib.aclosing(pool.stream("t.write", params, descriptors=[writer])) as items:
                assert await anext(items) == {"written": 5}
            os.close(writer)
            assert await asyncio.to_thread(os.read, reader, 100) == b"hello"
            assert await asyncio.to_thread(os.read, reader, 100) == b""
            os.close(reader)
            with pytest.raises(InvalidArgument, match="carries 4"):
                await pool.call("t.passed", descriptors=[0] * 5)
            pool.close()

    run(story())

# SPDX-License-Identifier: MIT
"""strata.client against a scripted room, the same over its socket and over HTTP through the real door."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from client_room import TOKEN, Served, serving
from socket_room import run

from strata.client import AsyncClient, Client
from strata.client.results import Chunk, Result, RunInfo, Stats, Usage
from strata.client.results_files import Event
from strata.client.session import Session
from strata.errors import Conflict, Internal, InvalidArgument, NotFound, Unauthenticated, Unavailable

DEADLINE = 15.0


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


@pytest.fixture(params=["unix", "http", "https"])
def strata(served: Served, request: pytest.FixtureRequest) -> Iterator[Client]:
    endpoint = {"unix": served.path, "http": served.url, "https": served.secure_url}[request.param]
    with Client(endpoint, token=TOKEN, ca=served.ca if request.param == "https" else None) as client:
        yield client


@pytest.fixture
def session(strata: Client) -> Session:
    return strata.session("alice", "task-001")


# --- what is asked and what is told


def test_what_is_given_is_asked_and_nothing_else(served: Served, session: Session) -> None:
    who = {"owner": "alice", "session": "task-001"}
    for ask, method, params in (
        (lambda: session.create(), "create", {}),
        (lambda: session.create(labels={"a": "b"}, limits={"tasks_max": 9}, ttl="5m"), "create",
         {"labels": {"a": "b"}, "limits": {"tasks_max": 9}, "ttl": "5m"}),
        (lambda: session.extend(ttl="1h"), "extend", {"ttl": "1h"}),
        (lambda: session.exec("ls", timeout=1.5, stdin="x"), "exec",
         {"command": "ls", "timeout_ms": 1500, "stdin": "x"}),
        (lambda: session.fork("two", "s1"), "fork", {"to_session": "two", "snapshot": "s1"}),
        (lambda: session.snapshot("s1"), "snapshot", {"name": "s1"}),
        (lambda: session.remove_snapshot("s1"), "remove_snapshot", {"name": "s1"}),
        (lambda: session.signal("r1", "INT"), "signal", {"id": "r1", "signal": "INT"}),
        (lambda: session.kill("r1"), "kill", {"id": "r1"}),
        (lambda: session.move("a", "b"), "move", {"from": "a", "to": "b"}),
        (lambda: session.hangup(), "hangup", {"terminal": "main"}),
        (lambda: session.close(), "close", {}),
    ):  # fmt: skip
        ask()
        assert served.room.last() == (f"sandbox.{method}", who | params)


def test_sessions_can_be_looked_for(served: Served, strata: Client) -> None:
    (found,) = strata.sessions("alice", labels={"a": "b", "c": "d e&f"}, state="open")
    assert (found.owner, found.session, found.labels) == ("alice", "one", {"a": "b"})
    assert served.room.last()[1] == {"owner": "alice", "labels": {"a": "b", "c": "d e&f"}, "state": "open"}


def test_results_are_typed_and_frozen(strata: Client, session: Session) -> None:
    assert strata.stats() == Stats(2, 7)
    found = session.create()
    assert (found.created, found.warnings, found.usage) == (True, ("slow disk",), Usage(cpu_ms=1.5, tasks=3))
    with pytest.raises(AttributeError):
        found.state = "closed"  # type: ignore[misc]
    assert session.usage() == Usage(cpu_ms=1.5, memory=None, tasks=3)
    (template,) = strata.templates()
    assert (template.name, template.limits) == ("py", {"tasks_max": 9})
    assert [snapshot.name for snapshot in session.snapshots()] == ["s1"]
    assert [terminal.terminal for terminal in session.terminals()] == ["main"]


def test_a_result_tells_text_and_bytes_and_whether_all_is_well(session: Session) -> None:
    found = session.exec("é\n" * 3)
    assert found.ok
    assert (found.output, found.stdout_bytes, found.stderr, found.stderr_bytes) == (
        "é\n" * 3, "é\n".encode() * 3, "\ufffd", b"\xff",
    )  # fmt: skip
    assert not Result("exit", 1).ok
    assert not Result("timeout").ok


def test_refusals_are_the_typed_errors_with_their_details(strata: Client) -> None:
    with pytest.raises(NotFound, match="session not found") as caught:
        strata.session("alice", "nope").describe()
    assert caught.value.details == {"session": "nope"}
    assert strata.stats().active_sessions == 2


@pytest.mark.parametrize("token", ["", "bad"])
def test_who_shows_no_good_token_is_told_so(served: Served, token: str) -> None:
    for endpoint in (served.path, served.url):
        with Client(endpoint, token=token) as strata, pytest.raises(Unauthenticated):
            strata.stats()


def test_an_answer_without_what_must_be_there_is_our_fault_not_a_traceback(session: Session) -> None:
    with pytest.raises(Internal, match="no state"):
        session._ask(__import__("strata.client.verbs", fromlist=["START"]).START, argv=["x"], background=False)


def test_threads_share_a_client(strata: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = [f"say {number}" for number in range(80)]
        found = list(pool.map(lambda text: strata.session("a", "b").exec(text).output, texts))
    assert found == texts


def test_a_restart_of_the_room_is_not_noticed_by_the_next_call(served: Served) -> None:
    with Client(served.path, token=TOKEN) as strata:
        strata.stats()
        served.hang_up()
        assert strata.stats() == Stats(2, 7)


def test_any_method_can_be_called_by_its_name(strata: Client) -> None:
    assert strata.call("sandbox.stats") == {"active_sessions": 2, "max_sessions": 7}


# --- commands


def test_output_that_goes_nowhere_comes_with_the_result(session: Session) -> None:
    found = session.run(["echo", "x"], env={"A": "b"}, cwd="/tmp", stdin="in")
    assert (found.stdout, found.stderr, found.exit_code) == ("out", "err", 0)


def test_streams_are_handed_over(session: Session, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        out.write(b"before ")
        found = session.run(["a", "b c", "oops"], stdout=out, stderr=err)
    assert found.ok
    assert (tmp_path / "out").read_bytes() == b"before a b c"
    assert (tmp_path / "err").read_bytes() == b"oops"


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_bytes_go_through_a_command_and_back(session: Session, tmp_path: Path, size: int) -> None:
    data = os.urandom(size // 4) * 4
    source = tmp_path / "source"
    source.write_bytes(data)
    with source.open("rb") as stdin, (tmp_path / "copy").open("wb") as out:
        session.run(["cat"], stdin=stdin, stdout=out)
    assert (tmp_path / "copy").read_bytes() == data


def test_a_large_input_needs_no_file(session: Session, tmp_path: Path) -> None:
    with (tmp_path / "copy").open("wb") as out:
        session.run(["cat"], stdin=b"x" * 1_000_000, stdout=out)
    assert (tmp_path / "copy").stat().st_size == 1_000_000


def test_a_command_that_reads_nothing_does_not_wait_for_its_input(session: Session) -> None:
    reader, writer = os.pipe()  # nobody ever writes to it
    try:
        assert session.run(["true", "x"], stdin=reader, stdout=1).ok
    finally:
        os.close(reader)
        os.close(writer)


def test_output_of_a_run_can_be_read_from_an_offset_on(served: Served, session: Session) -> None:
    assert session.start(["sleep", "9"], stdin="in").id == "r1"
    assert served.room.last()[1]["stdin_b64"] == "aW4="
    first, second, last = session.output("r1", stdout=3)
    assert (first, second) == (Chunk("stdout", 3, b"text"), Chunk("stderr", 7, b"\xff\xfe", 7))
    assert isinstance(last, RunInfo)
    assert (last.state, last.ended, last.exit_code) == ("ended", "exit", 0)


def test_reading_output_can_be_given_up(served: Served, session: Session) -> None:
    with session.output("r1", follow=True) as chunks:
        assert next(chunks).data == b"text"  # type: ignore[union-attr]
    assert served.room.cancelled.wait(DEADLINE)
    assert session.describe().state == "open"


def test_a_run_can_be_waited_for_asked_about_and_ended(served: Served, session: Session) -> None:
    assert session.wait("r1").ended == "exit"
    assert served.room.last()[1]["wait_ms"] == 600_000
    assert session.wait("r1", 0.5).state == "ended"
    assert served.room.last()[1]["wait_ms"] == 500
    (found,) = session.runs()
    assert (found.argv, found.ended, found.exit_code) == (("sleep", "9"), "", None)
    assert session.kill("r1").signal == "KILL"


# --- terminals


def test_a_terminal_is_a_socket_and_words_beside_it(served: Served, strata: Client, session: Session) -> None:
    with session.shell(rows=24, cols=80) as terminal:
        assert (terminal.info.terminal, terminal.viewer, terminal.offset, terminal.lost) == ("main", 5, 40, 2)
        assert terminal.receive() == b"$ "
        terminal.send(b"hi")
        assert terminal.receive() == b"typed hi"
        terminal.resize(50, 100)
        assert served.room.last()[1] | {"rows": 50, "cols": 100, "viewer": 5} == served.room.last()[1]
        terminal.send(b"exit\n")
        assert terminal.receive() == b"bye"
        assert terminal.receive() == b""
        assert (terminal.end().exit_code, terminal.offset) == (3, 40 + 13)
    assert strata.stats().active_sessions == 2


def test_leaving_a_terminal_hangs_up(served: Served, session: Session) -> None:
    session.shell().close()
    assert served.room.cancelled.wait(DEADLINE)


# --- files


@pytest.mark.parametrize("size", [0, 10, 2_000_000])
def test_files_go_in_and_come_out_as_they_were(served: Served, session: Session, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "here").write_bytes(content)
    there = session.put(tmp_path / "here", "sub/there", mode="0755")
    assert (there.size, there.mode, served.room.files) == (size, "0755", {"sub/there": content})
    back = session.get("sub/there", tmp_path / "back")
    assert (back.size, back.sha256) == (size, there.sha256)
    assert (tmp_path / "back").read_bytes() == content
    assert os.access(tmp_path / "back", os.X_OK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "here"]


def test_a_file_comes_into_a_directory_under_its_name(session: Session, tmp_path: Path) -> None:
    session.write("sub/name", "text")
    session.get("sub/name", tmp_path)
    assert (tmp_path / "name").read_text() == "text"


def test_content_can_be_written_and_read_without_a_file(session: Session) -> None:
    session.write("x", "é" * 5)
    assert session.read("x") == "é".encode() * 5
    session.write("x", bytes(range(256)))
    assert session.read("x", offset=250) == bytes(range(250, 256))
    assert session.read("x", offset=2, size=3) == b"\2\3\4"
    assert session.read("x", offset=500) == b""


def test_a_file_that_is_not_there_leaves_the_old_copy(session: Session, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with pytest.raises(NotFound, match="no such file"):
        session.get("nope", tmp_path / "old")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "old")]


@pytest.mark.parametrize(
    ("lie", "kind"), [({"sha256": "0" * 64}, Internal), ({"changed": True}, Conflict), ({"complete": False}, Conflict)]
)
def test_what_did_not_arrive_whole_is_not_kept(
    served: Served, session: Session, tmp_path: Path, lie: dict[str, Any], kind: type[Exception]
) -> None:
    session.write("x", "content")
    served.room.lies = lie
    with pytest.raises(kind):
        session.get("x", tmp_path / "x")
    with pytest.raises(kind):
        session.read("x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_can_come_out_into_a_pipe(session: Session, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    session.write("x", "content")
    with ThreadPoolExecutor() as pool:
        reading = pool.submit((tmp_path / "pipe").read_bytes)
        session.get("x", tmp_path / "pipe")
        assert reading.result(DEADLINE) == b"content"


def test_what_cannot_be_read_or_written_here_is_told(session: Session, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot read"):
        session.put(tmp_path / "none", "x")
    with pytest.raises(InvalidArgument, match="is a directory"):
        session.put(tmp_path, "x")
    session.write("x", "content")
    with pytest.raises(NotFound, match="cannot write"):
        session.get("x", tmp_path / "none" / "x")


def test_long_lists_are_read_to_their_end(session: Session) -> None:
    for name in "abcde":
        session.write(name, name)
    assert [entry.name for entry in session.files()] == list("abcde")
    assert [change.path for change in session.diff()] == ["/root/a"]
    assert session.stat("a").size == 1


def test_an_archive_comes_as_a_file(session: Session, tmp_path: Path) -> None:
    session.write("x", "tar!")
    session.export(tmp_path / "x.tar", "x")
    assert (tmp_path / "x.tar").read_text() == "tar!"


def test_events_come_as_they_happen_until_they_are_left(served: Served, session: Session) -> None:
    with session.watch("sub", recursive=True) as events:
        assert next(events) == Event("watching", "sub")
        assert next(events) == Event("moved", "/root/b", moved_from="/root/a")
    assert served.room.cancelled.wait(DEADLINE)


# --- where it is


def test_nobody_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="strata-ctl up"):
        Client(tmp_path / "none.sock").stats()
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9"):
        Client("http://127.0.0.1:9").stats()


def test_the_socket_and_the_token_are_found_where_the_environment_says(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    monkeypatch.setenv("STRATA_RUNTIME_DIR", str(served.path.parent))
    monkeypatch.setenv("STRATA_TOKEN_FILE", str(tmp_path / "token"))
    with Client() as strata:
        assert strata.stats() == Stats(2, 7)


def test_a_door_is_trusted_only_by_its_authority_and_under_its_name(served: Served, tmp_path: Path) -> None:
    stranger = Authority(tmp_path).ca
    for url, ca in (
        (served.secure_url, None),
        (served.secure_url, stranger),
        (served.secure_url.replace("127.0.0.1", "127.1"), served.ca),  # the same place (inet_aton(3)) by another name
    ):
        with Client(url, token=TOKEN, ca=ca) as client, pytest.raises(Unavailable, match="cannot be trusted"):
            client.stats()


def test_https_to_a_port_without_tls_says_so(served: Served) -> None:
    with (
        Client(served.url.replace("http", "https"), token=TOKEN, timeout=DEADLINE) as client,
        pytest.raises(Unavailable, match="it does not speak TLS"),
    ):
        client.stats()


def test_a_file_of_authorities_is_looked_at_when_the_client_is_made(tmp_path: Path) -> None:
    odd = tmp_path / "odd.pem"
    odd.write_text("nothing")
    for endpoint, ca, says in (
        ("https://127.0.0.1:9", tmp_path / "none.pem", "No such file"),
        ("https://127.0.0.1:9", odd, "no certificate in PEM"),
        ("http://127.0.0.1:9", odd, "only a door at https://"),
        (None, odd, "only a door at https://"),
    ):
        with pytest.raises(InvalidArgument, match=says):
            Client(endpoint, ca=ca)


@pytest.mark.parametrize("endpoint", ["localhost:2280", "ftp://x", "http://", "http://host:port", "http://me@host"])
def test_an_endpoint_that_cannot_be_is_told(endpoint: str) -> None:
    with pytest.raises(InvalidArgument, match="endpoint"):
        Client(endpoint)


def test_a_token_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (tmp_path / "none", tmp_path):
        monkeypatch.setenv("STRATA_TOKEN_FILE", str(file))
        with pytest.raises(InvalidArgument, match="STRATA_TOKEN_FILE"):
            Client()


def test_an_id_that_would_be_another_path_is_refused_before_it_is_sent(served: Served) -> None:
    with Client(served.url, token=TOKEN) as strata:
        for owner in ("", ".", ".."):
            with pytest.raises(InvalidArgument):
                strata.session(owner, "x").describe()
        assert strata.session("a/b?c#d", "é").describe().owner == "a/b?c#d"


def test_the_package_offers_its_two_clients_and_nothing_else() -> None:
    program = "import strata.client, sys; strata.client.Client; print('asyncio' in sys.modules); strata.client.nope"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n"
    assert "AttributeError: module 'strata.client' has no attribute 'nope'" in done.stderr


# --- asyncio


def asynchronous(test: Callable[[Served, AsyncClient], Awaitable[None]]) -> Callable[[Served], None]:
    """A test on a loop of its own, with a client of the room's socket."""

    async def whole(served: Served) -> None:
        async with AsyncClient(served.path, token=TOKEN) as strata:
            await test(served, strata)

    def run_test(served: Served) -> None:
        run(whole(served))

    run_test.__name__, run_test.__doc__ = test.__name__, test.__doc__
    return run_test


@asynchronous
async def test_the_async_client_asks_and_tells_the_same(served: Served, strata: AsyncClient) -> None:
    session = strata.session("alice", "one")
    assert await strata.stats() == Stats(2, 7)
    assert (await session.create(labels={"a": "b"})).created
    assert served.room.last()[1] == {"owner": "alice", "session": "one", "labels": {"a": "b"}}
    texts = [f"say {number}" for number in range(50)]
    assert [found.output for found in await asyncio.gather(*map(session.exec, texts))] == texts
    assert (await session.run(["x", "y"])).stdout == "out"
    assert (await session.fork("two")).name == "two"
    with pytest.raises(NotFound):
        await strata.session("alice", "nope").describe()
    await session.close()


@asynchronous
async def test_cancelling_an_async_call_cancels_its_work(served: Served, strata: AsyncClient) -> None:
    task = asyncio.create_task(strata.session("a", "b").exec("block"))
    await asyncio.to_thread(served.room.blocking.wait, DEADLINE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(served.room.cancelled.wait, DEADLINE)
    assert await strata.stats() == Stats(2, 7)


@asynchronous
async def test_async_streams_can_be_read_and_given_up(served: Served, strata: AsyncClient) -> None:
    session = strata.session("a", "b")
    assert [type(item) for item in [item async for item in session.output("r1")]] == [Chunk, Chunk, RunInfo]
    async with session.watch() as events:
        assert (await anext(events)).event == "watching"
    assert await asyncio.to_thread(served.room.cancelled.wait, DEADLINE)


def test_async_files_go_in_and_come_out(served: Served, tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncClient(served.path, token=TOKEN) as strata:
            session = strata.session("a", "b")
            (tmp_path / "here").write_bytes(b"x" * 100_000)
            await session.put(tmp_path / "here", "there")
            await session.get("there", tmp_path / "back")
            assert (tmp_path / "back").stat().st_size == 100_000
            await session.write("b", "text")
            assert await session.read("b") == b"text"
            assert [entry.name async for entry in session.files()] == ["b", "there"]
            with pytest.raises(NotFound):
                await session.get("nope", tmp_path / "nope")
            with (tmp_path / "out").open("wb") as out:
                await session.run(["a", "b"], stdout=out)
            assert (tmp_path / "out").read_bytes() == b"a"

    run(story())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "here", "out"]


@asynchronous
async def test_an_async_terminal_is_the_same(served: Served, strata: AsyncClient) -> None:
    async with await strata.session("a", "b").shell(offset=0) as terminal:
        assert await terminal.receive() == b"$ "
        await terminal.resize(3, 4)
        await terminal.send(b"exit\n")
        assert await terminal.receive() == b"bye"
        assert await terminal.receive() == b""
        assert (await terminal.end()).exit_code == 3


def test_the_async_client_has_no_http_and_says_so() -> None:
    with pytest.raises(InvalidArgument, match="use Client in a thread"):
        AsyncClient("http://127.0.0.1:2280")

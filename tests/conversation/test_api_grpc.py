# SPDX-License-Identifier: MIT
"""gRPC through the door, with gRPC's own client, and with peers that speak HTTP/2 by hand."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from rooms import DEADLINE
from rpc_door import LIMITS, Opened, Settings, opened

from strata.api import grpc_wire
from strata.api.proto import sandbox_pb2 as old
from strata.api.proto.strata.v1 import sandbox_pb2 as v1

PROJECT = Path(__file__).parent.parent.parent
OLD = old.DESCRIPTOR.services_by_name["SandboxService"]
V1 = v1.DESCRIPTOR.services_by_name["SandboxService"]
GOOD = (("authorization", "Bearer good"),)
IDS = {"owner": "a", "session": "b"}
OLD_IDS = {"ownerID": "a", "sessionID": "b"}
CODE = grpc.StatusCode


class Client:
    """What a generated stub is, made from the service's description."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def call(self, method: MethodDescriptor, given: Any, metadata: Any = GOOD, timeout: float = DEADLINE) -> Any:
        kind = ("stream" if method.client_streaming else "unary", "stream" if method.server_streaming else "unary")
        made = getattr(self.channel, "_".join(kind))(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=method.input_type._concrete_class.SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return made(given, metadata=metadata, timeout=timeout)

    def v1(self, name: str, metadata: Any = GOOD, /, **fields: Any) -> Any:
        method = V1.methods_by_name[name]
        return self.call(method, GetMessageClass(method.input_type)(**IDS, **fields), metadata)

    def old(self, name: str, metadata: Any = GOOD, /, **fields: Any) -> Any:
        method = OLD.methods_by_name[name]
        return self.call(method, GetMessageClass(method.input_type)(**fields), metadata)

    def stream(self, name: str, given: Iterable[Any], service: Any = V1, timeout: float = DEADLINE) -> Any:
        return self.call(service.methods_by_name[name], iter(given), timeout=timeout)


@contextlib.contextmanager
def talking(door: Opened) -> Iterator[Client]:
    with grpc.insecure_channel(door.address) as channel:
        yield Client(channel)


@pytest.fixture
def door() -> Iterator[Opened]:
    with opened() as found:
        yield found


@pytest.fixture
def client(door: Opened) -> Iterator[Client]:
    with talking(door) as found:
        yield found


@contextlib.contextmanager
def fails(code: grpc.StatusCode, words: str = "") -> Iterator[None]:
    with pytest.raises(grpc.RpcError) as raised:
        yield
    assert (raised.value.code(), words in raised.value.details()) == (code, True), raised.value.details()


def until(condition: Any, what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"it never came true: {what}"
        time.sleep(0.005)


# gRPC's core keeps threads and descriptors of its own once it was used: no test is to blame for them.
with opened() as _first, talking(_first) as _client:
    _client.old("Stats")


# --- the predecessor's service (vectors 168 to 172)


def test_168_create_exec_stats_close(client: Client) -> None:
    made = client.old("CreateSession", **OLD_IDS)
    assert (made.ownerID, made.sessionID, made.createdAt) == ("a", "b", "2026-11-22T03:11:00Z")
    assert client.old("Exec", command="pwd", **OLD_IDS).output == "/root"
    assert client.old("Stats").activeSessions == 2
    assert client.old("CloseSession", **OLD_IDS).success


def test_168_closing_twice_is_no_error(client: Client) -> None:
    client.old("CreateSession", **OLD_IDS)
    client.old("CloseSession", **OLD_IDS)
    again = client.old("CloseSession", **OLD_IDS)
    assert (again.success, again.message) == (False, "session not found")


def test_169_empty_ids_are_invalid(client: Client) -> None:
    with fails(CODE.INVALID_ARGUMENT, "owner_id and session_id are required"):
        client.old("CreateSession")


def test_169_too_many_sessions_is_exhaustion(client: Client) -> None:
    with fails(CODE.RESOURCE_EXHAUSTED, "max sessions (3) reached"):
        client.old("CreateSession", ownerID="full", sessionID="b")


def test_169_an_empty_command_is_refused(client: Client) -> None:
    with fails(CODE.INVALID_ARGUMENT, "command is required"):
        client.old("Exec", **OLD_IDS)


def test_169_exec_fills_elapsed_and_truncated(client: Client) -> None:
    told = client.old("Exec", command="long", **OLD_IDS)
    assert (told.elapsed, told.truncated, told.error) == ("12ms", True, "")


def test_169_stats_tell_the_configured_maximum(client: Client) -> None:
    assert client.old("Stats").maxSessions == 7


@pytest.mark.parametrize(
    ("command", "error"),
    [("sleep 10", "command timeout"), ("exit 3", "exit status 3"), ("kill -9 $$", "ended by signal KILL")],
)
def test_a_command_that_fails_is_no_failed_call(client: Client, command: str, error: str) -> None:
    assert client.old("Exec", command=command, **OLD_IDS).error == error


def test_exec_of_the_old_service_passes_its_timeout_on(door: Opened, client: Client) -> None:
    client.old("Exec", command="pwd", timeoutMs=700, **OLD_IDS)
    assert door.room.last("sandbox.exec")["timeout_ms"] == 700


def test_170_a_shell_needs_ids_first(client: Client) -> None:
    with fails(CODE.INVALID_ARGUMENT, "owner_id and session_id required in first message"):
        list(client.stream("Shell", [old.ShellInput(stdinData=b"ls\n")], OLD))


class Typing:
    """What a client types, one message when the test says so, until `done`."""

    def __init__(self, *first: Any) -> None:
        self._messages, self._ready = [*first], threading.Semaphore(len(first))

    def type(self, message: Any) -> None:
        self._messages.append(message)
        self._ready.release()

    def done(self) -> None:
        self.type(None)

    def __iter__(self) -> Iterator[Any]:
        while self._ready.acquire(timeout=DEADLINE) and (message := self._messages.pop(0)) is not None:
            yield message


def shown(replies: Any, wanted: bytes) -> bytes:
    """What the terminal shows until `wanted` is there."""
    got = b""
    while wanted not in got:
        got += next(replies).data
    return got


def test_171_what_is_typed_comes_back(client: Client) -> None:
    typing = Typing(old.ShellInput(**OLD_IDS), old.ShellInput(stdinData=b"echo hi\n"))
    replies = client.stream("Shell", typing, OLD)
    assert b"hi" in shown(replies, b"hi")
    typing.done()
    assert [reply.closed for reply in replies] in ([], [False])


def test_171_the_end_of_the_shell_ends_the_stream(client: Client) -> None:
    typing = Typing(old.ShellInput(**OLD_IDS), old.ShellInput(stdinData=b"exit\n"))
    replies = list(client.stream("Shell", typing, OLD))
    typing.done()
    assert b"".join(reply.data for reply in replies) == b"$ bye\r\n"
    assert [reply.closed for reply in replies][-1]


def test_a_client_that_types_and_leaves_gets_the_answer(client: Client) -> None:
    """As grpcurl does: all messages at once, then half-closed."""
    replies = list(client.stream("Shell", [old.ShellInput(**OLD_IDS), old.ShellInput(stdinData=b"ls\n")], OLD))
    assert b"".join(reply.data for reply in replies) == b"$ you typed ls\n"
    assert not any(reply.closed for reply in replies)


def test_172_http_and_grpc_share_the_port(door: Opened, client: Client) -> None:
    assert client.old("Stats").maxSessions == 7
    request = urllib.request.Request(f"{door.url}/api/stats", headers={"Authorization": "Bearer good"})
    with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
        assert b'"active_sessions":2' in reply.read()


# --- credentials and errors


@pytest.mark.parametrize("metadata", [(), (("authorization", "Basic x"),), (("authorization", "Bearer bad"),)])
def test_who_is_nobody_is_told_so(client: Client, metadata: Any) -> None:
    with fails(CODE.UNAUTHENTICATED):
        client.v1("Usage", metadata)


def test_without_a_token_the_room_is_not_even_asked(door: Opened, client: Client) -> None:
    """In user mode the room would take the door for its operator."""
    with fails(CODE.UNAUTHENTICATED):
        client.old("Stats", ())
    assert (door.room.asked, door.room.denied) == ([], [])


def test_the_callers_own_token_reaches_the_room(door: Opened, client: Client) -> None:
    client.v1("CreateSession", (("authorization", "Bearer good-alice"),))
    assert [token for *_, token in door.room.asked] == ["good-alice"]


def test_an_error_carries_its_code_and_name(client: Client) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        client.v1("CloseSession")
    assert raised.value.code() is CODE.NOT_FOUND
    assert {("strata-code", "4"), ("strata-name", "NOT_FOUND")} <= set(raised.value.trailing_metadata())


def test_a_conflict_is_a_failed_precondition(client: Client) -> None:
    with fails(CODE.FAILED_PRECONDITION, "thaw it"):
        client.v1("Exec", command="conflict")


def test_a_room_that_is_away_is_unavailable(door: Opened, client: Client) -> None:
    client.old("Stats")
    door.cut_off()
    with fails(CODE.UNAVAILABLE):
        client.old("Stats")


def test_our_own_faults_are_told_plainly(client: Client) -> None:
    with fails(CODE.INTERNAL, "labels"):
        client.v1("Freeze")


# --- v1


def test_a_session_is_described_whole(client: Client) -> None:
    made = client.v1("CreateSession", labels={"job": "7"}, limits=v1.Limits(tasks_max=9), ttl="5m")
    assert (made.created, made.created_at, made.labels) == (True, "2026-11-22T03:11:00Z", {"job": "7"})
    assert (made.limits.memory_max, made.limits.tasks_max, made.warnings) == ("1G", 256, ["slow disk"])
    assert made.detail["pid"] == 7


def test_what_is_not_set_is_left_to_the_room(door: Opened, client: Client) -> None:
    client.v1("CreateSession", limits=v1.Limits(tasks_max=9), ttl="5m")
    assert door.room.last("sandbox.create") == IDS | {"limits": {"tasks_max": 9}, "ttl": "5m"}


def test_sessions_are_listed(client: Client) -> None:
    method = V1.methods_by_name["ListSessions"]
    assert [each.session for each in client.call(method, v1.ListSessionsRequest()).sessions] == ["b"]


def test_exec_tells_how_it_ended(client: Client) -> None:
    told = client.v1("Exec", command="exit 3")
    assert (told.exit_code, told.ended, told.cwd, told.memory_peak) == (3, "exit", "/root", 4096)
    killed = client.v1("Exec", command="kill -9 $$")
    assert (killed.HasField("exit_code"), killed.signal, killed.ended) == (False, "KILL", "signal")


def test_output_is_bytes(client: Client) -> None:
    assert client.v1("Exec", command="binary").output == b"\xff\xfe"


def test_numbers_beyond_32_bits_and_free_values(client: Client) -> None:
    usage = client.v1("Usage")
    assert (usage.memory, usage.detail["disk"]["used"]) == (2**40, 5)


def test_a_move_has_the_rooms_own_names(door: Opened, client: Client) -> None:
    client.v1("Move", from_path="x", to_path="y")
    client.v1("ListFiles", path="/root")
    entries = client.v1("ListFiles", path="/root").entries
    assert [(entry.name, entry.mode, entry.mtime) for entry in entries] == [("a.txt", 0o644, 12.5), ("sub", 0o755, 0)]


def test_events_of_files_come_as_they_happen(client: Client) -> None:
    events = client.v1("Watch", path="/root")
    assert next(events).event == "watching"
    moved = next(events)
    assert (moved.event, moved.from_path, moved.path) == ("moved", "/root/a", "/root/b")
    events.cancel()


# --- run


def start(*argv: str, **more: Any) -> v1.RunInput:
    return v1.RunInput(start=v1.RunStart(**IDS, argv=argv, **more))


def gathered(replies: Iterable[Any]) -> tuple[dict[str, bytes], Any]:
    """The bytes of each stream, whose offsets must fit, and the result."""
    streams: dict[str, bytes] = {}
    last = None
    for reply in replies:
        assert last is None, "something came after the result"
        if reply.HasField("result"):
            last = reply.result
            continue
        before = streams.setdefault(reply.chunk.stream, b"")
        assert reply.chunk.offset == len(before)
        streams[reply.chunk.stream] = before + reply.chunk.data
    return streams, last


def test_a_program_writes_to_both_streams(client: Client) -> None:
    streams, result = gathered(client.stream("Run", [start("one", "two", "oops")]))
    assert (streams, result.exit_code) == ({"stdout": b"one two", "stderr": b"oops"}, 0)


def test_standard_input_streams_in_and_out(client: Client) -> None:
    """8 MiB through pipes of 64 KiB: nobody holds it whole."""
    pieces = [bytes([number]) * 1_048_576 for number in range(8)]
    given = [start("cat", stdin=b"first "), *(v1.RunInput(stdin=piece) for piece in pieces)]
    streams, _ = gathered(client.stream("Run", given))
    assert streams == {"stdout": b"first " + b"".join(pieces)}


def test_output_comes_before_the_program_ends(door: Opened, client: Client) -> None:
    typing = Typing(start("block"))
    replies = client.stream("Run", typing)
    assert next(replies).chunk.data == b"first words"
    door.release()
    assert gathered(replies)[1].ended == "exit"
    typing.done()


def test_a_signal_goes_to_the_program_that_runs(door: Opened, client: Client) -> None:
    typing = Typing(start("block"))
    replies = client.stream("Run", typing)
    next(replies)
    typing.type(v1.RunInput(signal="INT"))
    gathered(replies)
    typing.done()
    sent = door.room.last("sandbox.signal")
    assert (sent["signal"], sent["id"]) == ("INT", door.room.last("sandbox.run")["id"])


def test_cancelling_a_run_cancels_it_in_the_room(door: Opened, client: Client) -> None:
    typing = Typing(start("block"))
    replies = client.stream("Run", typing)
    next(replies)
    replies.cancel()
    assert door.room.cancelled.wait(DEADLINE)
    typing.done()


def test_a_deadline_cancels_it_too(door: Opened, client: Client) -> None:
    with fails(CODE.DEADLINE_EXCEEDED):
        client.call(V1.methods_by_name["Exec"], v1.ExecRequest(**IDS, command="block"), timeout=0.3)
    assert door.room.cancelled.wait(DEADLINE)


def test_a_run_in_the_background_answers_at_once(client: Client) -> None:
    (reply,) = client.stream("Run", [start("sleep", "9", background=True)])
    assert (reply.result.id, reply.result.state) == ("r1", "running")


def test_output_is_read_again_from_an_offset(door: Opened, client: Client) -> None:
    replies = list(client.v1("Output", id="r1", offset=v1.Offsets(stdout=5)))
    assert [(each.chunk.stream, each.chunk.data) for each in replies[:2]] == [
        ("stdout", b"text"),
        ("stderr", b"\xff\xfe"),
    ]
    assert replies[-1].result.id == "r1"


@pytest.mark.parametrize(("name", "first"), [("Run", v1.RunInput), ("Put", v1.PutInput), ("Shell", v1.ShellInput)])
def test_a_stream_begins_with_its_start(client: Client, name: str, first: Any) -> None:
    with fails(CODE.INVALID_ARGUMENT, "the first message must be `start`"):
        method = V1.methods_by_name[name]
        replies = client.call(method, iter([first()]))
        list(replies) if method.server_streaming else None


# --- files


def put(path: str, *pieces: bytes) -> list[v1.PutInput]:
    return [v1.PutInput(start=v1.PutStart(**IDS, path=path)), *(v1.PutInput(data=piece) for piece in pieces)]


def test_a_file_goes_in_and_out(door: Opened, client: Client) -> None:
    pieces = [bytes([number]) * 700_000 for number in range(9)]
    content = b"".join(pieces)
    told = client.stream("Put", put("/root/f", *pieces))
    assert (told.size, told.sha256, told.mode) == (len(content), hashlib.sha256(content).hexdigest(), 0o644)
    *chunks, last = list(client.v1("Get", path="/root/f"))
    assert b"".join(chunk.data for chunk in chunks) == content
    assert (last.end.size, last.end.sha256, last.end.mode, last.end.eof) == (len(content), told.sha256, 0o640, True)


def test_modes_are_numbers(door: Opened, client: Client) -> None:
    begin = v1.PutInput(start=v1.PutStart(**IDS, path="/root/x", mode=0o750))
    assert client.stream("Put", [begin]).mode == 0o750
    assert door.room.last("sandbox.put")["mode"] == "0750"


def test_a_part_of_a_file(door: Opened, client: Client) -> None:
    door.room.files["/f"] = b"0123456789"
    data, end = list(client.v1("Get", path="/f", offset=2, size=3))
    assert (data.data, end.end.size, end.end.total, end.end.eof) == (b"234", 3, 10, False)


def test_a_file_that_is_not_there(client: Client) -> None:
    with fails(CODE.NOT_FOUND):
        list(client.v1("Get", path="/nothing"))


def test_a_refused_upload_says_why(client: Client) -> None:
    with fails(CODE.PERMISSION_DENIED, "not yours"):
        client.stream("Put", put("/etc/shadow", b"x" * 1_000_000, b"y" * 1_000_000))


def test_an_upload_that_is_refused_at_its_end(client: Client) -> None:
    begin = v1.PutInput(start=v1.PutStart(**IDS, path="/root/x", sha256="0" * 64))
    with fails(CODE.INVALID_ARGUMENT, "another sha256 came"):
        client.stream("Put", [begin, v1.PutInput(data=b"x")])


def test_half_an_upload_never_becomes_a_file(door: Opened, client: Client) -> None:
    """The room takes the end of the pipe for the end of the file; one that is broken off must not end."""
    typing = Typing(*put("/root/f", b"half PAUSE"))
    method = V1.methods_by_name["Put"]
    made = client.channel.stream_unary(
        "/strata.v1.SandboxService/Put",
        request_serializer=method.input_type._concrete_class.SerializeToString,
        response_deserializer=v1.PutReply.FromString,
    ).future(iter(typing), metadata=GOOD)
    assert door.room.blocking.wait(DEADLINE)
    made.cancel()
    typing.done()
    door.room.cancelled.set()
    until(lambda: door.room.asked and not door.pending(), "the upload is over")
    assert door.room.files == {}


def test_a_slow_reader_holds_the_writer_back(door: Opened, client: Client) -> None:
    """No more than windows and pipes hold is read ahead of a client that does not read."""
    door.room.files["/f"] = b"x" * (64 << 20)
    chunks = client.v1("Get", path="/f")
    next(chunks)
    poured = [-1] * 20
    until(lambda: len({*poured[-20:], poured.append(door.room.poured)} - {None}) == 1, "the writer waits")
    assert door.room.poured < 8 << 20
    chunks.cancel()


# --- terminals


def test_a_terminal_is_attached_typed_into_and_resized(door: Opened, client: Client) -> None:
    typing = Typing(v1.ShellInput(start=v1.ShellStart(**IDS, rows=24, cols=80)))
    replies = client.stream("Shell", typing)
    attached = next(replies).attached
    assert (attached.terminal, attached.offset, attached.viewers) == ("main", 40, 1)
    typing.type(v1.ShellInput(data=b"ls\n"))
    assert shown(replies, b"ls\n") == b"$ you typed ls\n"
    typing.type(v1.ShellInput(resize=v1.WindowSize(rows=0, cols=9)))  # no window has such a size
    typing.type(v1.ShellInput(resize=v1.WindowSize(rows=40, cols=120)))
    until(lambda: any(name == "sandbox.resize" for name, *_ in door.room.asked), "it was resized")
    sizes = [(given["rows"], given["cols"]) for name, given, _ in door.room.asked if name == "sandbox.resize"]
    assert sizes == [(40, 120)]
    typing.type(v1.ShellInput(data=b"exit\n"))
    rest = list(replies)
    typing.done()
    assert (rest[-1].ended.ended, rest[-1].ended.exit_code) == ("exit", 0)


def test_a_client_that_goes_leaves_the_terminal(door: Opened, client: Client) -> None:
    typing = Typing(v1.ShellInput(start=v1.ShellStart(**IDS)))
    replies = client.stream("Shell", typing)
    next(replies)
    replies.cancel()
    typing.done()
    until(lambda: not door.pending(), "the viewer is gone")


# --- health and reflection


def unary(client: Client, path: str, payload: bytes) -> bytes:
    raw: bytes = client.channel.unary_unary(path)(payload, timeout=DEADLINE)
    return raw


def test_health_asks_the_room(client: Client) -> None:
    assert unary(client, "/grpc.health.v1.Health/Check", b"") == b"\x08\x01"  # SERVING


def test_reflection_lists_the_services(client: Client) -> None:
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    (reply,) = client.channel.stream_stream(path)(iter([b"\x3a\x00"]), timeout=DEADLINE)  # list_services: ""
    assert b"sandbox.SandboxService" in reply
    assert b"strata.v1.SandboxService" in reply


# --- rude peers


def test_bytes_that_are_no_message(client: Client) -> None:
    with fails(CODE.INVALID_ARGUMENT, "cannot read the message"):
        client.channel.unary_unary("/strata.v1.SandboxService/Exec")(b"\xff\xff\xff", metadata=GOOD, timeout=DEADLINE)


def test_a_method_that_is_not_there(client: Client) -> None:
    with fails(CODE.UNIMPLEMENTED):
        client.channel.unary_unary("/strata.v1.SandboxService/Nope")(b"", metadata=GOOD, timeout=DEADLINE)


def test_a_compressed_message_is_refused(door: Opened) -> None:
    packed = grpc.insecure_channel(door.address, compression=grpc.Compression.Gzip)
    with packed as channel, fails(CODE.UNIMPLEMENTED, "compressed"):
        Client(channel).v1("Exec", command="x" * 10_000)


def test_a_message_that_is_too_large(client: Client) -> None:
    with fails(CODE.RESOURCE_EXHAUSTED, "it may have"):
        client.v1("Exec", command="x" * (grpc_wire.MESSAGE_BYTES + 1))


class Peer:
    """HTTP/2 by hand."""

    def __init__(self, door: Opened) -> None:
        self.sock = socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def call(self, path: str = "/sandbox.SandboxService/Stats", drop: tuple[str, ...] = (), **more: str) -> int:
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers",
                   "content-type": "application/grpc", "authorization": "Bearer good"}  # fmt: skip
        stream = self.h2.get_next_available_stream_id()
        sent = {name: value for name, value in (headers | more).items() if name not in drop}
        self.h2.send_headers(stream, list(sent.items()))
        self.flush()
        return stream

    def events(self, wanted: type[Any]) -> Any:
        """The first event of a kind."""
        while data := self.sock.recv(65_536):
            for event in self.h2.receive_data(data):
                if isinstance(event, wanted):
                    return event
            self.flush()
        raise AssertionError("the door hung up")

    def hung_up(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            while self.sock.recv(65_536):
                pass
        return True


def status(event: Any) -> tuple[str, str]:
    found = {bytes(name).decode(): bytes(value).decode() for name, value in event.headers}
    return found["grpc-status"], found.get("grpc-message", "")


def test_a_length_that_lies_is_not_waited_for(door: Opened, client: Client) -> None:
    with Peer(door) as peer:
        stream = peer.call()
        peer.h2.send_data(stream, b"\0" + struct.pack(">I", 0xFFFF_FFFF))
        peer.flush()
        assert status(peer.events(h2.events.ResponseReceived))[0] == "8"
    client.old("Stats")


def test_a_message_that_ends_early(door: Opened, client: Client) -> None:
    with Peer(door) as peer:
        stream = peer.call()
        peer.h2.send_data(stream, b"\0\0\0\0\x09abc", end_stream=True)
        peer.flush()
        assert status(peer.events(h2.events.ResponseReceived)) == ("3", "cannot read the message: it ends too early")
    client.old("Stats")


def test_a_call_without_a_message(door: Opened) -> None:
    with Peer(door) as peer:
        peer.h2.end_stream(peer.call())
        peer.flush()
        assert status(peer.events(h2.events.ResponseReceived))[0] == "3"


def test_a_first_message_that_does_not_come() -> None:
    with opened(limits=LIMITS._replace(body_seconds=0.2)) as door, Peer(door) as peer:
        peer.call()
        code, words = status(peer.events(h2.events.ResponseReceived))
        assert (code, "did not come within 0.2 s" in words) == ("3", True)


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff" * 100,
        b"\x00\x00\x05\x00\x00\x00\x00\x00\x09hello",  # DATA on a stream that nobody opened
        b"\x00\x00\x03\x01\x05\x00\x00\x00\x01\xff\xff\xff",  # headers that are none
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # a window that grows by 0
    ],
    ids=["noise", "data", "headers", "window"],
)
def test_bad_frames_end_their_own_connection_only(door: Opened, client: Client, junk: bytes) -> None:
    with Peer(door) as peer:
        peer.sock.sendall(junk)
        assert peer.hung_up()
    assert client.old("Stats").maxSessions == 7


def test_headers_that_are_no_request(door: Opened, client: Client) -> None:
    with Peer(door) as peer:
        peer.call(drop=(":path",))
        assert peer.hung_up()
    client.old("Stats")


def test_headers_that_are_no_text(door: Opened, client: Client) -> None:
    with Peer(door) as peer:
        peer.h2.send_headers(1, [(b":method", b"POST"), (b":path", b"/\xff\xfe"), (b":scheme", b"http"),
                                 (b":authority", b"x"), (b"te", b"trailers"), (b"x", b"\xff")])  # fmt: skip
        peer.flush()
        assert peer.hung_up()
    client.old("Stats")


def test_unknown_frames_are_ignored(door: Opened) -> None:
    """RFC 9113, 5.5."""
    with Peer(door) as peer:
        peer.sock.sendall(b"\x00\x00\x02\xf0\x00\x00\x00\x00\x00hi")
        stream = peer.call()
        peer.h2.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        peer.flush()
        assert status(peer.events(h2.events.TrailersReceived))[0] == "0"


def test_a_flood_of_calls_that_are_given_up(door: Opened, client: Client) -> None:
    """CVE-2023-44487: streams that are opened and reset at once."""
    with Peer(door) as peer, contextlib.suppress(ConnectionError):
        for _ in range(grpc_wire.RESETS * 20):
            peer.h2.reset_stream(peer.call())
            peer.flush()
        assert peer.hung_up()
    assert client.old("Stats").maxSessions == 7


def test_the_101st_call_at_once_is_refused(door: Opened, client: Client) -> None:
    with Peer(door) as peer:
        with contextlib.suppress(h2.exceptions.TooManyStreamsError, ConnectionError):
            peer.h2.remote_settings.max_concurrent_streams = 1000
            for _ in range(101):
                peer.call()
        assert peer.hung_up()
    client.old("Stats")


def test_a_peer_that_reads_nothing_is_dropped() -> None:
    with opened(limits=LIMITS._replace(write_seconds=0.3)) as door:
        door.room.files["/f"] = b"x" * (64 << 20)
        with Peer(door) as peer:
            peer.h2.increment_flow_control_window((1 << 31) - 70_000)
            peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: (1 << 31) - 1})
            stream = peer.call("/strata.v1.SandboxService/Get")
            request = v1.GetRequest(**IDS, path="/f").SerializeToString()
            peer.h2.send_data(stream, b"\0" + struct.pack(">I", len(request)) + request, end_stream=True)
            peer.flush()
            until(lambda: not door.grpc._connections, "the connection is dropped")


def test_one_connection_too_many_is_closed() -> None:
    with opened(limits=LIMITS._replace(connections=1)) as door, Peer(door) as first, Peer(door) as second:
        assert second.hung_up()
        stream = first.call()
        first.h2.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        first.flush()
        assert status(first.events(h2.events.TrailersReceived))[0] == "0"


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_wire, "IDLE_SECONDS", 0.2)
    with opened() as door, Peer(door) as peer:
        assert peer.hung_up()


def test_without_authentication_nobody_needs_a_token() -> None:
    with opened(Settings(insecure_no_auth=True)) as door, talking(door) as client:
        with fails(CODE.UNAUTHENTICATED):  # by the scripted room
            client.old("Stats", ())
        assert door.room.denied == [("sandbox.stats", "")]


# --- what is committed


def test_the_committed_code_is_what_the_protos_say() -> None:
    if not shutil.which("sh") or subprocess.run([sys.executable, "-c", "import grpc_tools"], check=False).returncode:
        pytest.skip("needs grpcio-tools, for the compiler of protocol buffers")
    done = subprocess.run(["scripts/protos", "--check"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

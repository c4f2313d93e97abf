# SPDX-License-Identifier: MIT
"""What a well-behaved peer may rely on."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import subprocess
import sys

import pytest
from socket_room import METHODS, Ring, Room, Talk, conversation, gate, request, run, serving, until

from strata.sockets import frame, listen
from strata.sockets.server import Server


@conversation()
async def test_001_a_call_is_answered_in_an_envelope_that_echoes_its_req_id(ring: Ring) -> None:
    talk = await ring.talk()
    assert await talk.call("t.echo", "abc", text="hi") == {
        "v": 1,
        "req_id": "abc",
        "ok": True,
        "result": {"text": "hi"},
    }


@conversation()
async def test_002_pipelined_calls_are_answered_in_order(ring: Ring) -> None:
    talk = await ring.talk()
    talk.write(b"".join(request("t.echo", str(number), text=str(number)) for number in range(500)))
    assert [(await talk.reply())["req_id"] for _ in range(500)] == [str(number) for number in range(500)]


@conversation()
async def test_quick_and_slow_methods_are_answered_in_the_order_they_were_asked(ring: Ring) -> None:
    talk = await ring.talk()
    names = ["t.later", "t.echo", "t.echo", "t.later", "t.fail", "t.later", "t.refuse", "t.echo"] * 40
    talk.write(b"".join(request(name, str(at), text="x") for at, name in enumerate(names)))
    assert [(await talk.reply())["req_id"] for _ in names] == [str(at) for at in range(len(names))]


@conversation()
async def test_a_call_waits_for_the_one_before_it(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.wait", "slow")
    talk.ask("t.echo", "quick", text="x")
    await until(lambda: ring.room.entered, "the slow call runs")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(talk.reader.readexactly(1), 0.05)
    ring.room.open_door.set()
    assert [(await talk.reply())["req_id"] for _ in range(2)] == ["slow", "quick"]


@conversation()
async def test_003_a_frame_of_exactly_one_mebibyte_is_served(ring: Ring) -> None:
    talk = await ring.talk()
    bare = len(request("t.echo", text="x", padding="")) - 4
    framed = request("t.echo", text="x", padding="p" * (frame.MAX_PAYLOAD - bare))
    assert len(framed) == 4 + 1_048_576
    talk.write(framed)
    assert (await talk.reply())["result"] == {"text": "x"}


@conversation()
async def test_007_another_protocol_version_is_refused_and_the_connection_stays(ring: Ring) -> None:
    talk = await ring.talk()
    talk.write(frame.encode(b'{"v":2,"req_id":"a","method":"t.echo"}'))
    error = (await talk.reply())["error"]
    assert (error["code"], error["name"]) == (1, "INVALID_ARGUMENT")
    assert "version" in error["message"]
    assert (await talk.call("t.echo", text="x"))["ok"]


@conversation()
async def test_008_an_empty_or_null_envelope_is_answered_code_1_with_an_empty_req_id(ring: Ring) -> None:
    talk = await ring.talk()
    for payload in (b"{}", b"null"):
        talk.write(frame.encode(payload))
        reply = await talk.reply()
        assert (reply["req_id"], reply["ok"], reply["error"]["code"]) == ("", False, 1)


@conversation()
async def test_009_an_unknown_method_is_code_1_and_named(ring: Ring) -> None:
    talk = await ring.talk()
    error = (await talk.call("nope"))["error"]
    assert (error["code"], error["message"]) == (1, "unknown method: nope")


@conversation()
async def test_010_unknown_fields_are_ignored_and_null_params_and_auth_are_fine(ring: Ring) -> None:
    talk = await ring.talk()
    talk.write(frame.encode(b'{"v":1,"req_id":"a","method":"t.who","params":null,"auth":null,"x":{"y":[1]}}'))
    assert (await talk.reply())["ok"]


@conversation()
async def test_012_every_error_has_code_name_and_message(ring: Ring) -> None:
    talk = await ring.talk()
    found = [(await talk.call(name))["error"] for name in ("nope", "t.secret", "t.refuse", "t.fail", "t.echo")]
    assert [(error["code"], error["name"]) for error in found] == [
        (1, "INVALID_ARGUMENT"),
        (2, "UNAUTHENTICATED"),
        (4, "NOT_FOUND"),
        (5, "INTERNAL"),
        (1, "INVALID_ARGUMENT"),
    ]
    assert all(error["message"] for error in found)
    assert found[2]["details"] == {"thing": "x"}


@conversation()
async def test_013_a_result_over_one_mebibyte_becomes_code_7(ring: Ring) -> None:
    talk = await ring.talk()
    reply = await talk.call("t.blob", "big", size=2_000_000)
    assert (reply["req_id"], reply["error"]["code"], reply["error"]["details"]["limit"]) == ("big", 7, 1_048_576)
    assert (await talk.call("t.echo", text="x"))["ok"]


@conversation()
async def test_014_fifty_connections_are_served_at_once(ring: Ring) -> None:
    async def one(number: int) -> int:
        talk = await ring.talk()
        for turn in range(20):
            assert (await talk.call("t.echo" if turn % 2 else "t.later", text=str(number)))["result"] == {
                "text": str(number)
            }
        return number

    assert await asyncio.gather(*(one(number) for number in range(50))) == list(range(50))


@conversation()
async def test_a_stream_marks_every_frame_but_the_last_with_more(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.count", "s", size=3)
    talk.ask("t.echo", "after", text="x")
    replies = [await talk.reply() for _ in range(5)]
    assert [reply.get("more", False) for reply in replies] == [True, True, True, False, False]
    assert [reply["req_id"] for reply in replies] == ["s", "s", "s", "s", "after"]
    assert [reply["result"] for reply in replies[:3]] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert ring.room.ended == ["closed"]


@conversation()
async def test_a_stream_that_fails_ends_with_the_error(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.broken_stream")
    assert (await talk.reply())["more"]
    assert (await talk.reply())["error"]["code"] == 4
    assert (await talk.call("t.echo", text="x"))["ok"]


@conversation()
async def test_a_stream_leaves_the_others_their_turn(ring: Ring) -> None:
    """The source never waits for anything and its reader reads all it can: others are served all the same."""
    greedy = await ring.talk()
    greedy.ask("t.endless", size=1000)
    drain = asyncio.create_task(greedy.rest())
    for _ in range(20):
        await ring.works()
    greedy.close()
    await drain
    await until(lambda: ring.room.ended == ["closed"], "the stream ended when its reader hung up")


@conversation()
async def test_a_long_poll_is_cancelled_when_its_caller_hangs_up(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.poll")
    await until(lambda: ring.room.entered, "the poll runs")
    talk.close()
    await until(lambda: ring.room.ended == ["cancelled"], "the poll was cancelled")
    await until(lambda: not ring.server.tasks, "its task is gone")


@conversation()
async def test_a_call_that_changes_something_is_finished_although_its_caller_hung_up(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.wait")
    await until(lambda: ring.room.entered, "the call runs")
    talk.close()
    await until(lambda: all(c._ended for c in ring.server.connections), "the server saw it")
    assert ring.room.ended == []
    ring.room.open_door.set()
    await until(lambda: ring.room.ended == ["done"] and not ring.server.connections, "the call ended by itself")


@conversation()
async def test_an_infinite_stream_ends_with_its_connection_even_where_cancel_was_forgotten(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.stubborn", size=10)
    await talk.reply()
    talk.close()
    await until(lambda: ring.room.ended == ["closed"] and not ring.server.tasks, "the stream is over")


@conversation()
async def test_a_peer_that_half_closes_gets_every_answer_to_what_it_sent(ring: Ring) -> None:
    talk = await ring.talk()
    names = ["t.echo", "t.later", "t.later", "t.wait", "t.echo", "t.later"] * 50
    talk.write(b"".join(request(name, str(at), text="x") for at, name in enumerate(names)))
    talk.half_close()
    ring.room.open_door.set()
    assert [reply["req_id"] for reply in await talk.hung_up()] == [str(at) for at in range(len(names))]


@conversation()
async def test_a_peer_that_half_closes_and_reads_late_gets_large_answers_whole(ring: Ring) -> None:
    talk = await ring.talk()
    talk.write(request("t.blob", size=900_000) * 8)
    talk.half_close()
    await until(lambda: any(c._clear_to_write for c in ring.server.connections), "the server waits for its reader")
    assert [len(reply["result"]["blob"]) for reply in await talk.hung_up()] == [900_000] * 8


@conversation(seconds=50)
async def test_a_pipeline_of_a_hundred_thousand_frames_is_answered_whole_and_others_have_their_turn(ring: Ring) -> None:
    talk, many = await ring.talk(), 100_000

    async def send() -> None:
        for start in range(0, many, 1000):
            talk.write(b"".join(request("t.echo", str(at), text="x") for at in range(start, start + 1000)))
            await talk.writer.drain()

    async def receive() -> None:
        for at in range(many):
            size = frame.payload_size(await talk.reader.readexactly(4))
            assert f'"req_id":"{at}"'.encode() in await talk.reader.readexactly(size)

    sender = asyncio.create_task(send())
    receiver = asyncio.create_task(receive())
    while not sender.done():
        await ring.works()
        await asyncio.sleep(0.02)
    await asyncio.gather(sender, receiver)


@conversation()
async def test_one_burst_does_not_hold_up_the_others(ring: Ring) -> None:
    """Of many frames in one read only a turn's worth is answered before the other connections are."""
    burst, other = await ring.talk(), await ring.talk()
    await burst.call("t.echo", text="x")
    await other.call("t.echo", text="x")
    burst.write(request("t.echo", text="x") * 2000)
    other.ask("t.echo", text="me")
    await other.reply()
    waiting = next(c for c in ring.server.connections if len(c._decoder))
    assert len(waiting._decoder) > 1000 * len(request("t.echo", text="x"))
    for _ in range(2000):
        await burst.reply()


@conversation()
async def test_a_token_reaches_the_method_as_claims_and_a_refusal_reaches_the_audit(ring: Ring) -> None:
    talk = await ring.talk()
    assert (await talk.call("t.secret", token="good"))["result"] == {"claims": {"sub": "me"}}
    assert (await talk.call("t.secret", token="bad"))["error"]["code"] == 2
    assert (await talk.call("t.secret"))["error"]["code"] == 2
    assert ring.room.denied == [("t.secret", 2), ("t.secret", 2)]


@pytest.mark.parametrize("method", ["t.fail", "t.fail_later", "t.surrogate", "t.unspeakable"])
def test_a_method_with_a_bug_is_code_5_logged_whole_and_told_plainly(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with serving() as ring:
            talk = await ring.talk()
            reply = await talk.call(method, "my-id\n<0>forged line")
            assert (reply["req_id"], reply["error"]["code"]) == ("my-id\n<0>forged line", 5)
            assert "secret" not in reply["error"]["message"]
            assert (await talk.call("t.echo", text="x"))["ok"]

    with caplog.at_level(logging.ERROR):
        run(story())
    assert [(record.levelname, bool(record.exc_info)) for record in caplog.records] == [("ERROR", True)]
    assert "\n" not in caplog.records[0].getMessage()


@conversation()
async def test_a_call_cancelled_from_within_is_still_answered(ring: Ring) -> None:
    talk = await ring.talk()
    assert (await talk.call("t.cancels_itself"))["error"]["code"] == 6
    assert (await talk.call("t.echo", text="x"))["ok"]


def test_a_failing_audit_fails_the_call_and_not_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with serving() as ring:

            def broken(*_: object) -> None:
                raise OSError("no journal")

            ring.server.denied = broken
            talk = await ring.talk()
            assert (await talk.call("t.secret"))["error"]["code"] == 5
            assert (await talk.call("t.echo", text="x"))["ok"]

    run(story())
    assert "no journal" in caplog.text


@conversation()
async def test_closing_lets_running_calls_end_and_delivers_their_answers(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.wait", "running")
    talk.ask("t.wait", "queued")
    await until(lambda: ring.room.entered == 1, "the first call runs")
    closing = asyncio.create_task(ring.server.close(grace=10))
    await until(lambda: ring.server.closing, "no more calls are taken")
    ring.room.open_door.set()
    assert [reply["req_id"] for reply in await talk.hung_up()] == ["running"]
    await closing
    assert ring.room.entered == 1


@conversation()
async def test_closing_cancels_what_does_not_end_in_time_and_says_so(ring: Ring) -> None:
    stuck, polling = await ring.talk(), await ring.talk()
    stuck.ask("t.wait")
    stuck.ask("t.wait")
    polling.ask("t.poll")
    await until(lambda: ring.room.entered == 2, "both calls run")
    await ring.server.close(grace=0.05)
    assert ring.room.ended == ["cancelled", "cancelled"]
    assert [reply["error"]["code"] for reply in await stuck.hung_up()] == [6]
    assert [reply["error"]["code"] for reply in await polling.hung_up()] == [6]
    assert not ring.server.tasks


@conversation()
async def test_closing_does_not_wait_for_a_peer_that_never_reads(ring: Ring) -> None:
    talk = await ring.talk()
    talk.writer.transport.pause_reading()
    talk.write(request("t.blob", size=900_000) * 4)
    await until(lambda: any(c._clear_to_write for c in ring.server.connections), "the answers are stuck")
    await asyncio.wait_for(ring.server.close(), 5)
    assert not ring.server.connections


@conversation()
async def test_closing_leaves_the_socket_file_to_systemd(ring: Ring) -> None:
    await ring.server.close()
    assert ring.path.is_socket()


def test_a_second_server_can_listen_on_the_same_inherited_socket() -> None:
    """What systemd does over a restart: the listening socket outlives the process, its queue included."""

    async def story() -> None:
        async with serving() as ring:
            spare = listen.bound(ring.path.with_name("spare.sock"))
            first, second = (Server(METHODS, Room(), gate, lambda *_: None) for _ in range(2))
            await first.listen(spare.dup())
            await first.close()
            talk = Talk(*await asyncio.open_unix_connection(ring.path.with_name("spare.sock")))
            talk.ask("t.echo", text="queued")
            await second.listen(spare)
            assert (await talk.reply())["result"] == {"text": "queued"}
            talk.close()
            await second.close()

    run(story())


OTHER_UID = """
import os, sys, json, socket, struct
os.setgroups([4242]); os.setgid(1234); os.setuid(1234)
def call():
    sock = socket.socket(socket.AF_UNIX); sock.connect(sys.argv[1])
    payload = json.dumps({"v": 1, "method": "t.who"}).encode()
    try:
        sock.sendall(struct.pack(">I", len(payload)) + payload)
    except BrokenPipeError:
        pass
    size = struct.unpack(">I", sock.recv(4))[0]
    return sock, json.loads(sock.recv(size))
calls = [call() for _ in range(int(sys.argv[2]))]
print(json.dumps({"pid": os.getpid(), "replies": [reply for _, reply in calls]}))
"""


async def as_another_user(ring: Ring, connections: int) -> dict[str, object]:
    """What a process of uid 1234 is told over so many connections, held open together."""
    command = [sys.executable, "-c", OTHER_UID, str(ring.path), str(connections)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=15)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
@conversation()
async def test_the_kernel_tells_who_the_peer_is(ring: Ring) -> None:
    told = await as_another_user(ring, 1)
    assert told["replies"][0]["result"] == {"pid": told["pid"], "uid": 1234, "gid": 1234, "groups": [4242]}


@needs_root
@conversation(connections_per_uid=3)
async def test_one_uid_has_its_share_of_connections_and_no_more(ring: Ring) -> None:
    told = await as_another_user(ring, 5)
    assert [reply.get("error", {}).get("code") for reply in told["replies"]] == [None, None, None, 7, 7]
    assert "close some" in told["replies"][3]["error"]["message"]
    for _ in range(8):  # root is not counted
        await ring.talk()
    await ring.works()


@needs_root
@conversation(connections=6, reserved_connections=2, connections_per_uid=100)
async def test_a_crowd_cannot_lock_the_operator_out(ring: Ring) -> None:
    told = await as_another_user(ring, 6)
    assert [reply.get("error", {}).get("code") for reply in told["replies"]] == [None] * 4 + [7, 7]
    held = [await ring.talk() for _ in range(4)]
    assert [(await talk.call("t.echo", text="x"))["ok"] for talk in held] == [True] * 4
    assert [reply["error"]["code"] for reply in (await as_another_user(ring, 1))["replies"]] == [7]
    await ring.works()


@conversation(connections=3)
async def test_connections_in_all_are_bounded_and_free_again_when_closed(ring: Ring) -> None:
    talks = [await ring.talk() for _ in range(3)]
    for talk in talks:
        await talk.call("t.echo", text="x")
    error = (await (await ring.talk()).hung_up())[0]["error"]
    assert (error["code"], error["name"]) == (7, "RESOURCE_EXHAUSTED")
    talks[0].close()
    await until(lambda: len(ring.server.connections) == 2, "one place is free")
    await ring.works()


@conversation(seconds=50)
async def test_a_hundred_thousand_calls_leave_no_memory_descriptor_or_task_behind(ring: Ring) -> None:
    talk = await ring.talk()
    batch = b"".join(request("t.later" if at % 10 == 0 else "t.echo", "id", text="x" * 50) for at in range(200))
    answers = 200 * (4 + len(b'{"v":1,"req_id":"id","ok":true,"result":{"text":"' + b"x" * 50 + b'"}}'))

    async def calls(number: int) -> None:
        for _ in range(number // 200):
            talk.write(batch)
            await talk.reader.readexactly(answers)

    await calls(20_000)
    gc.collect()
    before = resident(), len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    await calls(100_000)
    gc.collect()
    after = resident(), len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    assert after[1:] == before[1:]
    assert after[0] - before[0] < 2048, f"grew from {before[0]} to {after[0]} KiB"


def resident() -> int:
    """Resident memory in KiB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

# SPDX-License-Identifier: MIT
"""What no peer, however rude or broken, can do to the daemon or to the others."""

from __future__ import annotations

import asyncio
import json
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from socket_room import Ring, conversation, request, run, serving, until

from strata.sockets import frame
from strata.sockets.connection import Connection
from strata.sockets.limits import LIMITS

HEADER = struct.Struct(">I")


@pytest.mark.parametrize("size", [0, 1_048_577, 0x7FFFFFFF, 0xFFFFFFFF])
def test_004_005_an_impossible_header_closes_the_connection_without_a_reply(size: int) -> None:
    async def story() -> None:
        async with serving() as ring:
            talk = await ring.talk()
            talk.write(HEADER.pack(size))
            assert await talk.rest() == b""
            await ring.works()

    run(story())


@conversation()
async def test_calls_ahead_of_an_impossible_header_are_still_answered(ring: Ring) -> None:
    talk = await ring.talk()
    talk.write(request("t.echo", "1", text="x") + request("t.later", "2", text="x") + b"\xff" * 100)
    assert [reply["req_id"] for reply in await talk.hung_up()] == ["1", "2"]
    await ring.works()


MALFORMED = {
    "an open brace": b"{",
    "an array": b"[]",
    "a string": b'"x"',
    "a number": b"5",
    "a float for v": b'{"v":1.0,"method":"t.who"}',
    "a number for req_id": b'{"v":1,"req_id":5,"method":"t.who"}',
    "an array for params": b'{"v":1,"method":"t.who","params":[]}',
    "a string for auth": b'{"v":1,"method":"t.who","auth":"token"}',
    "a number for the token": b'{"v":1,"method":"t.who","auth":{"token":5}}',
    "garbage behind the envelope": b'{"v":1,"method":"t.who"} x',
    "two envelopes": b'{"v":1,"method":"t.who"}{"v":1,"method":"t.who"}',
    "invalid UTF-8": b'{"v":1,"method":"t.who\xff"}',
    "half a surrogate pair": b'{"v":1,"method":"t.who","req_id":"\\ud800"}',
    "a raw control character": b'{"v":1,"method":"t.\x01who"}',
    "a raw NUL": b"\0",
    "a byte order mark": b'\xef\xbb\xbf{"v":1,"method":"t.who"}',
    "deep nesting in params": b'{"v":1,"method":"t.who","params":{"a":' + b"[" * 500_000,
    "deep nesting in a field nobody reads": b'{"v":1,"x":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
    "a number without end": b'{"v":1,"params":{"n":' + b"9" * 900_000 + b"}}",
    "a number beyond any float": b'{"v":1,"params":{"n":1e99999}}',
    "NaN": b'{"v":1,"params":{"n":NaN}}',
    "random bytes": bytes(range(256)),
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
def test_006_what_is_no_envelope_is_told_so_and_the_connection_closed(payload: bytes) -> None:
    async def story() -> None:
        async with serving() as ring:
            talk = await ring.talk()
            talk.write(frame.encode(payload) + request("t.echo", "never", text="x"))
            replies = await talk.hung_up()
            assert [(reply["req_id"], reply["error"]["code"]) for reply in replies] == [("", 1)]
            assert "cannot read the request: " in replies[0]["error"]["message"]
            await ring.works()

    run(story())


ODD = {
    "a key given twice: the last counts": (
        b'{"v":9,"v":1,"method":"no","method":"t.echo","params":{"text":"x"}}',
        None,
    ),
    "a NUL in the method's name": (b'{"v":1,"method":"t.echo\\u0000"}', 1),
    "a huge version": (b'{"v":' + b"9" * 400 + b"}", 1),
    "a negative version": (b'{"v":-1}', 1),
    "a huge number where text belongs": (b'{"v":1,"method":"t.echo","params":{"text":' + b"9" * 400 + b"}}", 1),
    "a huge number where a number belongs": (b'{"v":1,"method":"t.blob","params":{"size":' + b"9" * 400 + b"}}", 1),
    "a float that no integer of ours holds": (b'{"v":1,"method":"t.blob","params":{"size":1e300}}', 1),
    "a NUL in text": (b'{"v":1,"method":"t.echo","params":{"text":"\\u0000"}}', None),
    "white space around": (b' \n{"v":1,"method":"t.echo","params":{"text":"x"}}\r\n\t', None),
    "fields in another case are other fields": (b'{"V":1,"METHOD":"t.echo"}', 1),
    "no method": (b'{"v":1}', 1),
}


@pytest.mark.parametrize(("payload", "code"), ODD.values(), ids=ODD.keys())
def test_an_odd_envelope_is_answered_and_the_connection_stays(payload: bytes, code: int | None) -> None:
    async def story() -> None:
        async with serving() as ring:
            talk = await ring.talk()
            talk.write(frame.encode(payload))
            assert (await talk.reply()).get("error", {}).get("code") == code
            assert (await talk.call("t.echo", text="x"))["ok"]

    run(story())


@conversation()
async def test_a_method_name_of_a_mebibyte_is_refused_in_a_frame_that_fits(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("é" * 100_000 + "n" * 400_000, "mine")
    reply = await talk.reply()
    assert (reply["req_id"], reply["error"]["code"]) == ("mine", 1)
    assert (await talk.call("t.echo", text="x"))["ok"]


@conversation()
async def test_a_req_id_of_a_mebibyte_is_answered_in_a_frame_that_fits(ring: Ring) -> None:
    talk = await ring.talk()
    long = "r" * (frame.MAX_PAYLOAD - 60)
    for method, code in (("t.who", 7), ("nope", 1), ("t.fail", 5)):
        payload = json.dumps({"v": 1, "req_id": long, "method": method}).encode()
        talk.write(frame.encode(payload))
        reply = await talk.reply()
        assert (reply["error"]["code"], long.startswith(reply["req_id"])) == (code, True)


@pytest.mark.parametrize("sent", [b"\0\0", HEADER.pack(1000), HEADER.pack(1000) + b"{" * 500])
def test_011_half_a_frame_and_a_hang_up_leave_nothing(sent: bytes) -> None:
    async def story() -> None:
        async with serving() as ring:
            talk, other = await ring.talk(), await ring.talk()
            talk.write(sent)
            await until(lambda: ring.server.partial_bytes == len(sent), "the half frame arrived")
            talk.close()
            assert (await other.call("t.echo", text="x"))["ok"]
            await until(lambda: not ring.server.partial_bytes, "it is forgotten")

    run(story())


@conversation()
async def test_half_a_frame_and_a_half_close_is_a_hang_up(ring: Ring) -> None:
    talk = await ring.talk()
    talk.write(request("t.echo", "whole", text="x") + HEADER.pack(1000) + b"{")
    talk.half_close()
    assert [reply["req_id"] for reply in await talk.hung_up()] == ["whole"]


@conversation(frame_seconds=0.2)
async def test_a_frame_that_does_not_end_in_time_ends_its_connection(ring: Ring) -> None:
    talk, other = await ring.talk(), await ring.talk()
    talk.write(HEADER.pack(1000))

    async def trickle() -> None:
        while True:
            talk.write(b" ")
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    assert await talk.rest() == b""
    trickling.cancel()
    assert (await other.call("t.echo", text="x"))["ok"]


@conversation(frame_seconds=0.3)
async def test_the_deadline_is_each_frames_own(ring: Ring) -> None:
    """A peer that pipelines for long, always some way into the next frame, is not one that sends a frame for long."""
    talk = await ring.talk()
    framed = request("t.echo", text="x")
    talk.write(framed[:10])
    end = asyncio.get_running_loop().time() + 0.9
    while asyncio.get_running_loop().time() < end:
        await asyncio.sleep(0.02)
        talk.write(framed[10:] + framed[:10])
        assert (await talk.reply())["ok"]


@conversation(frame_seconds=0.1)
async def test_a_peer_is_not_blamed_while_its_own_call_keeps_us_from_reading(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.wait", "slow")
    await until(lambda: ring.room.entered, "the slow call runs")
    framed = request("t.echo", "next", text="x")
    talk.write(framed[:10])
    await asyncio.sleep(0.3)
    ring.room.open_door.set()
    assert (await talk.reply())["req_id"] == "slow"
    talk.write(framed[10:])
    assert (await talk.reply())["req_id"] == "next"


@conversation(partial_bytes=200_000)
async def test_unfinished_frames_have_one_budget_for_all(ring: Ring) -> None:
    talks = [await ring.talk() for _ in range(3)]
    for talk in talks[:2]:
        talk.write(HEADER.pack(1_000_000) + b" " * 90_000)
    await until(lambda: ring.server.partial_bytes > 180_000, "two halves are held")
    talks[2].write(HEADER.pack(1_000_000) + b" " * 90_000)
    assert [reply["error"]["code"] for reply in await talks[2].hung_up()] == [7]
    await ring.works()
    talks[0].close()
    await until(lambda: ring.server.partial_bytes < 100_000, "a place is free")
    await ring.works()


@conversation()
async def test_frames_behind_a_running_call_wait_in_the_kernel_not_in_our_memory(ring: Ring) -> None:
    talk = await ring.talk()
    talk.ask("t.wait", "slow")
    await until(lambda: ring.room.entered, "the slow call runs")
    talk.write(request("t.echo", text="x" * 1_000_000) * 30)
    await until(lambda: ring.server.partial_bytes, "some of it arrived")
    await ring.works()
    await asyncio.sleep(0.1)
    assert ring.server.partial_bytes < 600_000
    ring.room.open_door.set()
    assert (await talk.reply())["req_id"] == "slow"
    for _ in range(30):
        assert (await talk.reply())["ok"]


@conversation(write_seconds=0.3)
async def test_a_peer_that_never_reads_is_held_back_and_then_dropped(ring: Ring) -> None:
    talk, other = await ring.talk(), await ring.talk()
    talk.writer.transport.pause_reading()
    talk.write(request("t.blob", size=100_000) * 2000)
    await until(lambda: any(c._clear_to_write for c in ring.server.connections), "its answers are stuck")
    stuck = next(c for c in ring.server.connections if c._clear_to_write)
    assert stuck.transport.get_write_buffer_size() < 1_000_000
    assert (await other.call("t.echo", text="x"))["ok"]
    await until(lambda: stuck not in ring.server.connections, "it was dropped")
    assert (await other.call("t.echo", text="x"))["ok"]


@conversation(unread_bytes=3_000_000)
async def test_unread_answers_have_one_budget_and_who_is_slowest_goes(ring: Ring) -> None:
    reader, *rude = [await ring.talk() for _ in range(6)]
    stuck: list[Connection] = []

    def newly() -> list[Connection]:
        return [c for c in ring.server.connections if c._clear_to_write and c not in stuck]

    for talk in rude:
        talk.writer.transport.pause_reading()
        talk.write(request("t.blob", size=1_000_000) * 3)
        await until(newly, "one more is stuck")
        stuck += newly()
        assert 0 < ring.server.unread_bytes <= 3_000_000
    await until(lambda: not ring.server.connections.issuperset(stuck), "some were dropped")
    left = [connection in ring.server.connections for connection in stuck]
    assert left == sorted(left), "the slowest go first"
    assert left[-1]
    assert (await reader.call("t.blob", size=1_000_000))["ok"]


@conversation(write_seconds=0.3)
async def test_a_stream_that_nobody_reads_stops_producing_and_is_dropped(ring: Ring) -> None:
    talk = await ring.talk()
    talk.writer.transport.pause_reading()
    talk.ask("t.endless", size=10_000)
    await until(lambda: any(c._clear_to_write for c in ring.server.connections), "the stream is stuck")
    produced = ring.room.entered
    await ring.works()
    assert ring.room.entered == produced < 200
    await until(lambda: ring.room.ended == ["closed"] and not ring.server.tasks, "it was dropped")


@conversation(write_seconds=0.2)
async def test_a_peer_that_is_told_off_and_never_reads_it_is_dropped(ring: Ring) -> None:
    """Answers below the high-water mark are in nobody's way, but the connection may not wait for ever to close."""
    talk = await ring.talk()
    talk.writer.transport.pause_reading()
    talk.write(request("t.blob", size=130_000) * 2 + frame.encode(b"{"))
    await until(lambda: ring.server.connections, "it is connected")
    await until(lambda: not ring.server.connections, "it was dropped")


@conversation()
async def test_a_peer_that_reads_slowly_but_reads_gets_everything(ring: Ring) -> None:
    talk = await ring.talk()
    talk.write(request("t.blob", size=200_000) * 30)
    for _ in range(30):
        await asyncio.sleep(0.005)
        assert len((await talk.reply())["result"]["blob"]) == 200_000


@conversation()
async def test_peers_that_vanish_in_the_middle_of_everything_leave_nothing(ring: Ring) -> None:
    for sent in (b"", request("t.later", text="x"), request("t.blob", size=900_000) * 5, request("t.count", size=1000)):
        for _ in range(20):
            talk = await ring.talk()
            talk.write(sent)
            talk.writer.transport.abort()
    await ring.works()
    await until(lambda: not ring.server.connections and not ring.server.tasks, "all are gone")


valid = st.sampled_from(["t.echo", "t.later", "t.count", "t.fail", "t.refuse", "t.who", "nope"]).map(
    lambda name: request(name, text="x", size=3)
)
anything = st.one_of(
    valid,
    st.binary(max_size=60),
    st.binary(min_size=1, max_size=60).map(frame.encode),
    st.text(max_size=20).map(
        lambda text: frame.encode(json.dumps({"v": 1, "method": text, "params": {text: text}}).encode())
    ),
    valid.flatmap(lambda framed: st.integers(0, len(framed)).map(lambda at: framed[:at])),
    valid.flatmap(
        lambda framed: st.tuples(st.integers(0, len(framed) - 1), st.integers(0, 255)).map(
            lambda change: framed[: change[0]] + bytes([change[1]]) + framed[change[0] + 1 :]
        )
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(anything, max_size=6), min_size=1, max_size=4), st.sampled_from(["close", "half", "abort"]))
def test_after_any_conversation_the_next_one_works(peers: list[list[bytes]], ending: str) -> None:
    async def story() -> None:
        async with serving(LIMITS._replace(frame_seconds=0.5)) as ring:
            talks = [await ring.talk() for _ in peers]
            for talk, pieces in zip(talks, peers, strict=True):
                for piece in pieces:
                    talk.write(piece)
                    await asyncio.sleep(0)
            for talk in talks:
                if ending == "half":
                    talk.half_close()
                    await talk.rest()
                elif ending == "close":
                    talk.close()
                else:
                    talk.writer.transport.abort()
            await ring.works()

    run(story())


def test_every_limit_is_a_bound() -> None:
    assert all(limit > 0 for limit in LIMITS)
    assert LIMITS.connections_per_uid + LIMITS.reserved_connections < LIMITS.connections

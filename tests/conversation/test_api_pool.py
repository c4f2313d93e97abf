# SPDX-License-Identifier: MIT
"""The door's way to the room (strata/api/pool.py, turns.py), before a real unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rooms import directory
from rpc_door import LIMITS, later

from strata.api.pool import NOTHING, RoomPool
from strata.api.turns import Turns
from strata.errors import InvalidArgument, Unauthenticated, Unavailable
from strata.sandbox.handlers import METHODS
from strata.sockets import frame

FEW = LIMITS._replace(room_connections=3, reserved_room_connections=1, waiting_calls=4, wait_seconds=0.3)
OK = b'{"ok":true,"result":{}}'
REFUSED = b'{"ok":false,"error":{"code":1,"message":"no"}}'


class Room:
    """Answers every request with `answers`, and counts who is connected and who was."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: list[bytes] = [OK]
        self.connected = self.ever = 0
        self.asked: list[Any] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected, self.ever = self.connected + 1, self.ever + 1
        try:
            while head := await reader.read(4):
                self.asked.append(json.loads(await reader.readexactly(int.from_bytes(head, "big"))))
                await self.hold.wait()
                writer.write(b"".join(frame.encode(answer) for answer in self.answers))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the pool may hang up at any time
        finally:
            self.connected -= 1
            writer.close()


@contextlib.asynccontextmanager
async def room(limits: Any = LIMITS, anonymous: bool = False) -> AsyncIterator[tuple[Room, RoomPool]]:
    with directory() as where:
        there = Room(where / "sandbox.sock")
        server = await asyncio.start_unix_server(there.serve, there.path)
        pool = RoomPool(there.path, limits, anonymous)
        try:
            yield there, pool
        finally:
            there.hold.set()
            pool.close()
            server.close()


async def soon(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_call_without_a_token_does_not_reach_the_room() -> None:
    """The room takes who comes without one for its own user's, and the door may run as that user."""

    async def work() -> None:
        async with room() as (there, pool):
            with pytest.raises(Unauthenticated):
                await pool.call("sandbox.stats", {})
            with pytest.raises(Unauthenticated):
                await anext(pool.stream("sandbox.watch", {}))
            assert (there.ever, there.asked) == (0, [])

    later(work())


def test_where_nobody_needs_a_token_none_is_sent() -> None:
    async def work() -> None:
        async with room(anonymous=True) as (there, pool):
            assert await pool.call("sandbox.stats", {}) == {}
            assert "auth" not in there.asked[0]

    later(work())


def test_what_is_asked_to_see_whether_the_room_lives_is_no_method() -> None:
    assert NOTHING not in {method.name for method in METHODS}


@pytest.mark.parametrize("answer", [OK, REFUSED])
def test_a_connection_with_more_than_an_answer_is_not_used_again(answer: bytes) -> None:
    async def work() -> None:
        async with room(FEW) as (there, pool):
            there.answers = [answer, OK]
            for _ in range(10):
                with contextlib.suppress(InvalidArgument):
                    await pool.call("sandbox.exec", {}, "t", [0])
                await soon(lambda: there.connected == 0)
            there.answers = [OK]
            assert await pool.call("sandbox.exec", {}, "t", [0]) == {}

    later(work())


def test_only_some_connections_are_kept_between_calls() -> None:
    async def work() -> None:
        async with room(LIMITS._replace(kept_room_connections=4)) as (there, pool):
            there.hold.clear()
            calls = [asyncio.create_task(pool.call("sandbox.run", {}, "t")) for _ in range(20)]
            await soon(lambda: len(there.asked) == 20)
            there.hold.set()
            await asyncio.gather(*calls)
            await soon(lambda: there.connected == 4)
            await asyncio.gather(*(pool.call("sandbox.run", {}, "t") for _ in range(4)))
            assert there.ever == 20

    later(work())


def test_a_room_that_is_away_is_told_without_its_path() -> None:
    async def work() -> None:
        async with room() as (there, pool):
            there.path.unlink()
            with pytest.raises(Unavailable, match=r"^cannot reach the sandbox service: [A-Za-z ]+$"):
                await pool.call("sandbox.stats", {}, "t")

    later(work())


# --- turns


def test_who_waited_longest_is_next_and_newcomers_wait_behind() -> None:
    async def work() -> None:
        turns, order = Turns(FEW), []

        async def wait(name: str) -> None:
            await turns.take(quick=False)
            order.append(name)

        await turns.take(quick=False)
        await turns.take(quick=False)
        waiting = [asyncio.create_task(wait(name)) for name in ("first", "second")]
        await asyncio.sleep(0)
        turns.give_back()
        newcomer = asyncio.create_task(wait("newcomer"))
        turns.give_back()
        await asyncio.gather(*waiting)
        turns.give_back()
        await newcomer
        assert order == ["first", "second", "newcomer"]

    later(work())


def test_quick_calls_do_not_wait_for_slow_ones_that_wait() -> None:
    async def work() -> None:
        turns = Turns(FEW)
        for quick in (False, False, True):
            await turns.take(quick)
        slow = [asyncio.create_task(turns.take(quick=False)) for _ in range(2)]
        await asyncio.sleep(0)
        quick = asyncio.create_task(turns.take(quick=True))
        await asyncio.sleep(0)
        turns.give_back()  # the place that is kept for quick ones
        await asyncio.wait_for(quick, 0.2)
        assert not any(task.done() for task in slow)
        for task in slow:
            with pytest.raises(Unavailable, match="every way to the room is in use"):
                await task

    later(work())


def test_who_gives_up_waiting_holds_no_place() -> None:
    async def work() -> None:
        turns = Turns(FEW)
        for _ in range(2):
            await turns.take(quick=False)
        waiting = asyncio.create_task(turns.take(quick=False))
        await asyncio.sleep(0)
        turns.give_back()
        waiting.cancel()  # just when it was its turn
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(turns.take(quick=False), 0.2)

    later(work())

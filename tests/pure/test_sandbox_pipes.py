# SPDX-License-Identifier: MIT
"""What keepers and workers write into their pipes is bounded, and nonsense is an end like any other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from strata.sandbox import children, lines
from strata.sandbox.children import Ended
from strata.sandbox.lines import Lines


def told(*pieces: bytes) -> Ended:
    """The end of a command whose keeper writes these, and closes."""

    async def main() -> Ended:
        reader, writer = os.pipe()
        child = children.watch(None, reader)
        try:
            for piece in pieces:
                await asyncio.to_thread(_write, writer, piece)
        finally:
            os.close(writer)
        async with asyncio.timeout(5):
            return await child.ended

    return asyncio.run(main())


def _write(fd: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(fd, data) :]
    except BrokenPipeError:
        pass


def test_a_status_is_one_line_in_however_many_pieces() -> None:
    assert told(b'{"exit_code": 3, "cp', b'u_ms": 1.5, "max_rss": 7}\nmore') == Ended(3, None, 1.5, 7)


@pytest.mark.parametrize("nonsense", [b"{", b"{}\n", b"\xff\n", b"[]\n", b'{"cpu_ms": null, "max_rss": 0}\n', b"7\n"])
def test_a_status_that_makes_no_sense_is_an_end(nonsense: bytes) -> None:
    ended = told(nonsense)
    assert (ended.exit_code, ended.signal) == (None, None)
    assert ended.message == "its keeper's word makes no sense"


def test_a_status_without_end_is_cut_off() -> None:
    assert told(*([b"x" * 65_536] * 32)).message == "its keeper's word makes no sense"


def test_a_keeper_that_says_nothing_was_killed() -> None:
    assert told().message == "its keeper was killed"


def with_lines(body: Callable[[Lines, int], Awaitable[None]]) -> None:
    async def main() -> None:
        reader, writer = os.pipe()
        found = Lines(reader)
        try:
            async with asyncio.timeout(10):
                await body(found, writer)
        finally:
            found.close()
            os.close(writer)

    asyncio.run(main())


def test_lines_come_whole_whatever_pieces_they_are_written_in() -> None:
    async def body(found: Lines, writer: int) -> None:
        for piece in (b"a", b"b\nc", b"\n\nd", b"\n"):
            os.write(writer, piece)
            await asyncio.sleep(0)
        assert [await anext(found) for _ in range(4)] == [b"ab", b"c", b"", b"d"]

    with_lines(body)


def test_a_line_that_is_too_long_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_BYTES", 100_000)

    async def body(found: Lines, writer: int) -> None:
        writing = asyncio.create_task(asyncio.to_thread(_write, writer, b"x" * 250_000))
        assert [line async for line in found] == []
        found.close()
        await writing

    with_lines(body)

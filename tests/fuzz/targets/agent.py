# SPDX-License-Identifier: MIT
"""The room's side of every descriptor whose other end a sandbox may hold: keepers' words, workers' answers, the shell's
reports, pipes of its output, runs' streams, terminals.

Whatever comes: a typed value or one of the eight errors; bounded memory; no byte made up, lost or out of order; the
loop's reader is gone when the end is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from hostile.script import Script, pieces

from strata.errors import StrataError
from strata.sandbox import worker
from strata.sandbox.cgroup import Usage
from strata.sandbox.children import Child, Ended
from strata.sandbox.collected import Collector, cost, ending, fitted
from strata.sandbox.inotify import Inotify
from strata.sandbox.launching import Forked, Launcher
from strata.sandbox.lines import Lines
from strata.sandbox.replay import Marks, known_again, whole
from strata.sandbox.ring import Ring
from strata.sandbox.shell.gathered import ERR, OUT, Gathered
from strata.sandbox.shell.report import Report, Reports
from strata.sandbox.shell.slot import Slot
from strata.sandbox.stream import Stream
from strata.sandbox.terminal import how
from strata.sockets import frame

INSTRUMENT = ("strata.sandbox",)
MAX_LEN = 4096
DICTIONARY = (
    b'{"exit_code":0,"cpu_ms":1.5,"max_rss":4096}\n', b'{"signal":9', b'"stage":"exec","errno":2,"message":"', b"1e999",
    b"NaN", b"[" * 30, b'{"result":{', b'{"item":{', b'{"error":{"code":4,"message":"x","details":{}}}\n', b"\0",
    b" 0 0 /root\0", b"\x1b[", b"\x1b]0;", b"\x07", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\n", b"\\ud800",
    b"123456789012345678901234567890",
)  # fmt: skip
_PATIENCE = 2.0
_USAGE = Usage(cpu_usec=0, memory_peak=0, oom_kills=0)


class _Fake:
    """In place of the launcher: its worker says the input, and is a process that has ended already."""

    def __init__(self, said: Sequence[bytes]) -> None:
        self.said = said

    async def fork(self, do: str, plan: Mapping[str, Any], fds: Sequence[int]) -> Forked:
        write = os.dup(fds[0])
        _fill(write, self.said)
        return Forked(_state.dead, os.dup(_state.pidfd))


class _State:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.where = Path(tempfile.mkdtemp(prefix="strata-agent-"))
        self.faults: list[str] = []
        self.loop.set_exception_handler(lambda loop, context: self.faults.append(str(context)))
        self.dead = os.fork()
        if not self.dead:
            os._exit(0)
        self.pidfd = os.pidfd_open(self.dead)


_state: _State


def setup() -> None:
    global _state
    _state = _State()


def teardown() -> None:
    os.waitpid(_state.dead, 0)
    os.close(_state.pidfd)
    _state.loop.close()
    shutil.rmtree(_state.where)


def check(data: bytes) -> None:
    """The first byte chooses whose descriptor it is, the second in how many pieces the rest comes."""
    script = Script(data)
    kind, cuts = script.one(_KINDS), script.byte() % 8
    before = len(os.listdir("/proc/self/fd"))
    rest = script.rest()

    async def bounded() -> None:
        async with asyncio.timeout(_PATIENCE):
            await kind(pieces(rest, cuts))

    _state.loop.run_until_complete(bounded())
    assert not _state.faults, _state.faults
    assert len(os.listdir("/proc/self/fd")) == before, "a descriptor is left"


def _fill(write: int, parts: Sequence[bytes]) -> None:
    """Into a pipe that is large enough, whose end it then is."""
    for part in parts:
        os.write(write, part)
    os.close(write)


# --- how a command ended


async def _status(parts: list[bytes]) -> None:
    """A keeper's word, whole or not, true or not."""
    read, write = os.pipe()
    child = Child(None, read)
    for part in parts:
        with contextlib.suppress(BrokenPipeError):
            os.write(write, part)
        await asyncio.sleep(0)
    os.close(write)
    ended = await child.ended
    assert child.status_fd == -1
    _typed(ended)
    assert b"\n" in b"".join(parts) or ended.message or _true_word(b"".join(parts), ended)
    answer = ending(ended, "", 0) | cost(ended, _USAGE)
    assert len(msgspec.json.encode([answer, how(ended, "")])) < 65_536
    assert len(msgspec.json.encode(fitted(answer, {"output": b"x"}, "r"))) <= frame.MAX_PAYLOAD


def _typed(ended: Ended) -> None:
    assert ended.exit_code is None or (type(ended.exit_code) is int and 0 <= ended.exit_code <= 255), ended
    assert ended.signal is None or (type(ended.signal) is int and 0 < ended.signal <= 64), ended
    assert (ended.exit_code is None and ended.signal is None) == bool(ended.stage or ended.message), ended
    assert type(ended.stage) is type(ended.message) is str
    assert 0 <= ended.cpu_ms < 1e16
    assert 0 <= ended.max_rss < 2**63


def _true_word(said: bytes, ended: Ended) -> bool:
    """A word without its line end was still a whole one."""
    return json.loads(said).get("exit_code") == ended.exit_code


# --- what a worker answers


async def _work(parts: list[bytes]) -> None:
    fake = cast(Launcher, _Fake(parts))
    with contextlib.suppress(StrataError):
        result = await worker.result(fake, {}, ())
        assert isinstance(result, dict)
    error: StrataError | None = None
    try:
        async for item in worker.items(fake, {}, ()):
            assert isinstance(item, dict)
    except StrataError as raised:
        error = raised
    if error is not None:
        assert isinstance(error.message, str)
        assert isinstance(error.details, dict)
        assert len(error.message) < 65_536


async def _lines(parts: list[bytes]) -> None:
    read, write = os.pipe()
    lines = Lines(read)
    _fill(write, parts)
    found = [line async for line in lines]
    lines.close()
    assert found == b"".join(parts).split(b"\n")[:-1]


# --- the shell


async def _reports(parts: list[bytes]) -> None:
    reports, found = Reports(), list[Report]()
    for part in parts:
        found += reports.feed(part)
        assert len(reports._rest) <= 65_536
    for one in found:
        assert (type(one.number), type(one.code), type(one.errexit)) == (int, int, bool)
        assert 0 <= one.number < 10**9 > one.code >= 0
        assert "\0" not in one.directory
        assert msgspec.json.encode(one.directory)
    records = b"".join(parts).split(b"\0")[:-1]
    assert len(found) <= len(records)


async def _slot(parts: list[bytes]) -> None:
    """Commands that write to the two pipes, one after another, by ends that they have changed as they like."""
    directory = os.open(_state.where, os.O_RDONLY | os.O_DIRECTORY)
    inotify = Inotify()
    slot = Slot(directory, 1, inotify)
    writers = slot.writers()
    gathered = Gathered(1 << 20)
    slot.begin(gathered)
    try:
        written = await _written(Script(b"".join(parts)))
        slot.finish()
        assert [bytes(stream) for stream in gathered.streams] == [bytes(stream) for stream in written]
        assert len(gathered.both) == sum(map(len, written))
        assert not gathered.truncated
    finally:
        slot.close(remove=True)
        inotify.close()
        os.close(directory)
    del writers


async def _written(script: Script) -> tuple[bytearray, bytearray]:
    written = (bytearray(), bytearray())
    ends = [os.open(_state.where / f"{name}-1", os.O_RDWR | os.O_NONBLOCK) for name in ("out", "err")]
    try:
        for number in range(200):
            if not script:
                break
            action, stream = script.byte(), OUT if number % 2 else ERR
            if action < 160:
                data = bytes([65 + number % 26]) * (action if action < 128 else 5000)
                with contextlib.suppress(BlockingIOError):
                    written[stream].extend(data[: os.write(ends[stream], data)] if data else b"")
            elif action < 180:
                await asyncio.sleep(0)
            elif action < 190:
                fcntl.fcntl(ends[stream], fcntl.F_SETFL, os.O_NONBLOCK | (os.O_DIRECT if action & 1 else 0))
            elif action < 200:
                with contextlib.suppress(OSError):
                    fcntl.fcntl(ends[stream], fcntl.F_SETPIPE_SZ, 4096 << action % 5)
    finally:
        for end in ends:
            os.close(end)
    return written


# --- programs and terminals


async def _stream(parts: list[bytes]) -> None:
    """What a run in the background writes, read as it comes by one who is slow."""
    read, write = os.pipe()
    stream = Stream("stdout", Ring.make("fuzz", 512), read, lambda: None)
    said, place, lost = b"".join(parts), 0, 0
    for part in [*parts, None]:
        if part is None:
            os.close(write)
        else:
            os.write(write, part)
        stream.drain()
        while piece := stream.piece(place, ended=part is None):
            lost += piece.get("lost", 0)
            data = msgspec.json.decode(msgspec.json.encode(piece), type=_Piece).content
            assert piece["offset"] >= place
            assert data == said[piece["offset"] : piece["offset"] + piece["size"]]
            place = piece["offset"] + piece["size"]
            if not piece["size"]:
                break
    assert place == len(said)
    stream.close()


class _Piece(msgspec.Struct):
    data: str
    data_b64: bytes | None = None

    @property
    def content(self) -> bytes:
        return self.data.encode() if self.data_b64 is None else self.data_b64


async def _collected(parts: list[bytes]) -> None:
    """What a foreground run writes: its beginning."""
    read, write = os.pipe()
    heard = bytearray()
    collector = Collector(read, 100, heard.extend)
    _fill(write, parts)
    await collector.over
    said = b"".join(parts)
    assert (heard, collector.data, collector.truncated) == (said, said[:100], len(said) > 100)


async def _terminal(parts: list[bytes]) -> None:
    """Where one may begin to look at a terminal's output."""
    ring = Ring.make("fuzz", 512)
    marks = Marks(ring)
    for part in parts:
        for at in range(0, len(part), 200):
            ring.append(part[at : at + 200])
            marks.update()
            assert ring.start <= marks.oldest <= ring.end
            assert len(marks._marks) <= 64
    said = b"".join(parts)
    assert 0 <= whole(said) <= len(said)
    assert 0 <= known_again(said) <= len(said)
    ring.close()


_KINDS: tuple[Callable[[list[bytes]], Awaitable[None]], ...] = (
    _status, _work, _lines, _reports, _slot, _stream, _collected, _terminal,
)  # fmt: skip
SEEDS = (
    b"\x00\x00" + b'{"exit_code":3,"cpu_ms":1.5,"max_rss":4096}\n',
    b"\x00\x03" + b'{"signal":9,"cpu_ms":1.5,"max_rss":4096}\n',
    b"\x00\x00" + b'{"stage":"exec","errno":2,"message":"No such file"}\n',
    b"\x01\x00" + b'{"item":{"event":"watching"}}\n{"result":{"size":5}}\n',
    b"\x01\x02" + b'{"error":{"code":4,"message":"no","details":{"path":"x"}}}\n',
    b"\x02\x05one\ntwo\nthree",
    b"\x03\x01" + b"1 0 0 /root\x002 1 1 /tmp\x00",
    b"\x04\x00" + bytes([3, 4, 165, 5, 6, 181, 7, 129, 191, 8] * 12),
    b"\x05\x04" + "häppchen 😀 ".encode() * 60,
    b"\x06\x02" + b"x" * 300,
    b"\x07\x06" + b"\x1b[1mbold\x1b[0m \x1b]0;title\x07 \xe2\x82\xac\r\n" * 40,
)

# SPDX-License-Identifier: MIT
"""A run in the background: it outlives its caller, and this process.

It has ended when its program has; what the program left running belongs to it until that has ended too, or is killed,
and goes on writing into its rings. What must outlive a restart is in the rings' notes: first what it is, then its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

import msgspec

from strata.errors import NotFound
from strata.sandbox import signalling
from strata.sandbox.cgroup import Group
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.children import Child
from strata.sandbox.collected import cost, elapsed, ending, killed_for_memory
from strata.sandbox.shown import moment
from strata.sandbox.stream import Stream

KILL_SECONDS = 5.0
AGAIN_SECONDS = 0.01  # a program that was just begun may still be on its way into its cgroup
_FOR_EVER = 1e9


class About(msgspec.Struct, frozen=True):
    """What it is. Its environment is not kept: there may be secrets in it. Times in seconds since 1970."""

    id: str
    argv: tuple[str, ...]
    cwd: str
    started_at: float
    keeper: int  # pid of who waits for it, and made it
    deadline: float | None = None


class Parts(NamedTuple):
    """What a run is made of; it takes them over. `child` is None for one whose end is known."""

    out: Stream
    err: Stream
    child: Child | None
    group: Group


class Run:
    """One run. `done` is set when the program has ended; `over` when nothing of it runs any more."""

    def __init__(self, about: About, emptiness: Emptiness) -> None:
        self.about = about
        self.result: dict[str, Any] | None = None
        self.done = asyncio.Event()
        self.closed = False
        self._why = ""
        self._emptiness = emptiness
        self._waiters: set[asyncio.Event] = set()

    def begin(self, parts: Parts, ended: Callable[[Run], None]) -> None:
        """Follow it; `ended` is called once the program has ended."""
        self._parts = parts
        notes = parts.out.ring.notes()
        if len(notes) > 1:
            self.result = json.loads(notes[1])
            self.done.set()
        self.over = asyncio.create_task(self._follow(ended))

    @property
    def streams(self) -> tuple[Stream, Stream]:
        """stdout and stderr."""
        return self._parts.out, self._parts.err

    @property
    def group(self) -> Group:
        """Its cgroup."""
        return self._parts.group

    @property
    def child(self) -> Child | None:
        """Its program, until the end is known."""
        return self._parts.child

    def changed(self) -> None:
        """There is more to read, or it has ended."""
        for waiter in self._waiters:
            waiter.set()

    def describe(self) -> dict[str, Any]:
        """As it is told."""
        about, out, err = self.about, *self.streams
        said = {
            "id": about.id,
            "argv": list(about.argv),
            "cwd": about.cwd,
            "state": "ended" if self.result else "running",
            "started_at": moment(about.started_at),
            "left": len(self.group.pids()) if self.result else 0,
            "stdout": {"start": out.ring.start, "end": out.ring.end},
            "stderr": {"start": err.ring.start, "end": err.ring.end},
        }
        if self.result:
            return said | self.result
        return said | {"exit_code": None, "ended": None} | elapsed(time.time() - about.started_at)

    async def output(self, offsets: dict[str, int], follow: bool) -> AsyncGenerator[dict[str, Any], None]:
        """Pieces of both streams from these offsets on: what there is now, or with `follow` all until the program has
        ended. Last, what `describe` says then."""
        places = {stream.name: offsets.get(stream.name, 0) for stream in self.streams}
        ends: dict[str, int] = {}
        arrived = asyncio.Event()
        self._waiters.add(arrived)
        try:
            while True:
                arrived.clear()
                if self.closed:
                    raise NotFound(f"run not found: {self.about.id} is not kept any more")
                ended = self.done.is_set() or not follow
                if ended and not ends:  # who writes on and on would keep us
                    ends = {stream.name: stream.ring.end for stream in self.streams}
                told = False
                for stream in self.streams:
                    if ended and places[stream.name] >= ends[stream.name]:
                        continue
                    if piece := stream.piece(places[stream.name], ended):
                        places[stream.name] = piece["offset"] + piece["size"]
                        told = True
                        yield piece
                if told:
                    continue
                if ended:
                    break
                await arrived.wait()
        finally:
            self._waiters.discard(arrived)
        yield self.describe()

    async def wait(self, seconds: float) -> None:
        """Until the program has ended, for at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.done.wait()

    def signal(self, number: int, whole: bool) -> int:
        """Send a signal to the program, or to its process group; to how many processes it went."""
        return signalling.send_to_program(self.group, self.about.keeper, number, whole)

    async def kill(self, why: str = "") -> None:
        """SIGKILL to all of it; returns when nothing of it runs any more."""
        self.cut(why)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_SECONDS):
                await asyncio.shield(self.over)

    def cut(self, why: str) -> None:
        """SIGKILL to all of it, now and until nothing is left; `why` is what its end is called then."""
        self._why = self._why or why
        self.group.kill()
        if not (self.over.done() or self.closed):
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.cut, why)

    def close(self) -> None:
        """Let go of it; what still runs goes on."""
        if self.closed:
            return
        self.closed = True
        self.over.cancel()
        self.changed()
        if self.child:
            self.child.close()
        for stream in self.streams:
            stream.close()

    async def _follow(self, ended: Callable[[Run], None]) -> None:
        if not self.result:
            await self._until_done()
            ended(self)
        self.changed()
        await self._emptiness.wait(self.group, _FOR_EVER)
        for stream in self.streams:
            stream.drain()
            stream.shut()
        self.group.remove()
        self.changed()

    async def _until_done(self) -> None:
        child = self.child
        assert child is not None
        timer = None
        if self.about.deadline is not None:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(max(0.0, self.about.deadline - time.time()), self.cut, "timeout")
        ended = await asyncio.shield(child.ended)
        if timer:
            timer.cancel()
        took = time.time() - self.about.started_at
        for stream in self.streams:
            stream.drain()
        usage = self.group.usage()
        self.result = ending(ended, self._why, killed_for_memory(ended, usage, self.group))
        self.result |= elapsed(took) | cost(ended, usage)
        self.streams[0].ring.note(json.dumps(self.result).encode())
        self._parts = self._parts._replace(child=None)
        self.done.set()

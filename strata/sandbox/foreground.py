# SPDX-License-Identifier: MIT
"""A run that its caller waits for. Its streams are the caller's own descriptors, or collected for the answer.

It is over when the program ends; whatever the program left behind in its cgroup is killed then, so nothing that kept
a pipe open can hold the answer back. A caller who hangs up ends the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from strata.sandbox import signalling
from strata.sandbox.cgroup import Group, Usage
from strata.sandbox.cgroup_events import Emptiness
from strata.sandbox.children import Child, Ended
from strata.sandbox.collected import Collector, cost, elapsed, ending, killed_for_memory
from strata.sandbox.plan import Wanted, output_pipe, reading
from strata.sandbox.run import AGAIN_SECONDS
from strata.sandbox.session import Session, SpawnPlan

log = logging.getLogger(__name__)

EMPTY_SECONDS = 5.0
DRAIN_SECONDS = 0.5
"""For output of who is not in the cgroup and holds the pipe nevertheless: it was handed over a socket."""


class Output(NamedTuple):
    """What a run wrote, as far as it was collected."""

    streams: Mapping[str, bytes]
    truncated: bool


class Foreground:
    """One run in the foreground."""

    def __init__(self, session: Session, emptiness: Emptiness, number: str, most: int) -> None:
        """`most` bytes of each stream are collected."""
        self._session, self._emptiness, self._most = session, emptiness, most
        self.group: Group = session.groups.scope.make(f"run-{number}")
        self._collectors: dict[str, Collector] = {}
        self._both = bytearray()
        self._keeper = 0

    def signal(self, number: int, whole: bool) -> int:
        """Send a signal to the program, or to its process group; to how many processes it went, 0 before it runs."""
        return signalling.send_to_program(self.group, self._keeper, number, whole) if self._keeper else 0

    async def run(self, wanted: Wanted, given: Mapping[str, int]) -> tuple[dict[str, Any], Output]:
        """How it ended and what it cost, and its output. Raises StrataError when it could not be started. Cancelling
        kills all of it."""
        started = time.monotonic()
        try:
            ended, why = await self._ended(wanted, given)
            took = time.monotonic() - started
            usage = await self._usage()
            await self._drain()
        finally:
            self._clean_up()
        answer = ending(ended, why, killed_for_memory(ended, usage, self.group)) | elapsed(took) | cost(ended, usage)
        if answer["ended"] == "timeout":
            answer["error"] = "command timeout"  # the predecessor's words (vector 140)
        output = self._output()
        return answer | {"truncated": output.truncated, "cwd": wanted.cwd}, output

    async def _ended(self, wanted: Wanted, given: Mapping[str, int]) -> tuple[Ended, str]:
        env = self._session.environment(wanted.env)
        plan = SpawnPlan(wanted.argv, env, wanted.cwd)
        with reading(wanted.stdin) as inline, contextlib.ExitStack() as ours:
            fds = {"stdin": inline} | {
                name: self._pipe(name, ours) for name in ("stdout", "stderr") if name not in given
            }
            fds |= given
            child = await self._session.spawn(plan, [fds["stdin"], fds["stdout"], fds["stderr"]], self.group)
        self._keeper = child.keeper.pid if child.keeper else 0
        try:
            done, _ = await asyncio.wait({child.ended}, timeout=wanted.timeout)
            if done:
                return child.ended.result(), ""
            return await self._killed(child), "timeout"
        except asyncio.CancelledError:
            child.close()
            raise

    async def _killed(self, child: Child) -> Ended:
        """Again and again: a program that was just begun may still be on its way into its cgroup."""
        while not child.ended.done():
            self.group.kill()
            await asyncio.wait({child.ended}, timeout=AGAIN_SECONDS)
        return child.ended.result()

    def _pipe(self, name: str, ours: contextlib.ExitStack) -> int:
        reader, writer = output_pipe()
        ours.callback(os.close, writer)
        self._collectors[name] = Collector(reader, self._most, self._hear)
        return writer

    def _hear(self, piece: bytes) -> None:
        self._both += piece[: self._most - len(self._both)]

    async def _usage(self) -> Usage:
        """What all of it used; read once nothing of it runs any more."""
        self.group.kill()
        if not await self._emptiness.wait(self.group, EMPTY_SECONDS):
            log.error(
                "cannot end a run of %s: processes %s outlive SIGKILL", self._session.key.label, self.group.pids()
            )
        return self.group.usage()

    async def _drain(self) -> None:
        waiting = [collector.over for collector in self._collectors.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=DRAIN_SECONDS)

    def _output(self) -> Output:
        if not self._collectors:
            return Output({}, False)
        streams = {name: bytes(collector.data) for name, collector in self._collectors.items()}
        truncated = any(collector.truncated for collector in self._collectors.values())
        written = sum(map(len, streams.values()))
        return Output({"output": bytes(self._both), **streams}, truncated or written > len(self._both))

    def _clean_up(self) -> None:
        for collector in self._collectors.values():
            collector.close()
        self.group.kill()
        if not self.group.remove():  # it was cancelled: what was just killed takes a moment to go
            self._later = asyncio.create_task(self._remove_later())

    async def _remove_later(self) -> None:
        deadline = time.monotonic() + EMPTY_SECONDS
        while not self.group.remove() and time.monotonic() < deadline:  # once it is removed, nobody can enter any more
            self.group.kill()
            await self._emptiness.wait(self.group, AGAIN_SECONDS)

# SPDX-License-Identifier: MIT
"""A shell is led back to its prompt with its state on a machine that is too busy to let it run, too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from shell_session import Bench, until, with_bench

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for cgroups of its own")

BUSY_SECONDS = 0.8  # below the 0.95 s that real-time processes get of each second (sched(7))
BUSY = """
import os, sys, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
os.sched_setaffinity(0, {int(sys.argv[1])})
print(flush=True)
until = time.monotonic() + float(sys.argv[2])
while time.monotonic() < until: pass
"""


@pytest.fixture
def real_time() -> None:
    """Root may be without CAP_SYS_NICE."""
    tried = [sys.executable, "-c", BUSY, str(min(os.sched_getaffinity(0))), "0"]
    if subprocess.run(tried, capture_output=True).returncode:
        pytest.skip("nobody may take a processor for himself here: CAP_SYS_NICE is missing")


@contextlib.contextmanager
def kept_from_running(*pids: int) -> Iterator[None]:
    """For BUSY_SECONDS these get no processor."""
    usual = os.sched_getaffinity(0)
    busy = min(usual)
    for pid in pids:
        os.sched_setaffinity(pid, {busy})
    os.sched_setaffinity(0, usual - {busy} or usual)
    process = subprocess.Popen([sys.executable, "-c", BUSY, str(busy), str(BUSY_SECONDS)], stdout=subprocess.PIPE)
    assert process.stdout
    try:
        assert process.stdout.read(1)
        yield
    finally:
        process.wait()
        process.stdout.close()
        os.sched_setaffinity(0, usual)


def shell_of(bench: Bench) -> int:
    return int(bench.shell.summary()["pid"])


@pytest.mark.usefixtures("real_time")
def test_an_idle_one_is_waited_for_by_the_next_room_and_its_background_jobs_live_on() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("KEPT=1; sleep 100 &")
        shell = shell_of(bench)
        await bench.shell.leave()  # before it has moved away from its job
        with kept_from_running(shell):
            bench.take_back()
            await asyncio.sleep(BUSY_SECONDS)
        result = await bench.run("echo $KEPT; jobs -r | wc -l")
        assert (result["output"], result.get("shell")) == ("1\n1", None)

    with_bench(body)


@pytest.mark.usefixtures("real_time")
@pytest.mark.parametrize("command", ["sleep 100", "while :; do :; done", "while :; do sleep 0.01; done"])
def test_a_time_out_of_one_that_cannot_run_keeps_its_state(command: str) -> None:
    async def body(bench: Bench) -> None:
        await bench.run("KEPT=1")
        running = asyncio.create_task(bench.run(command, 0.2))
        await asyncio.sleep(0.1)
        with kept_from_running(shell_of(bench)):
            result = await running
        assert (result["ended"], result.get("shell")) == ("timeout", None)
        assert await bench.output("echo $KEPT") == "1"

    with_bench(body)


@pytest.mark.usefixtures("real_time")
def test_a_time_out_waits_for_those_that_were_killed_and_could_not_die_yet() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("KEPT=1")
        shell = shell_of(bench)
        group = bench.session.groups.scope.child("shell-1")
        running = asyncio.create_task(bench.run("sleep 100", 0.2))
        await until(lambda: len(group.pids()) == 2)
        (child,) = set(group.pids()) - {shell}
        with kept_from_running(child):
            result = await running
        assert (result["ended"], result.get("shell")) == ("timeout", None)
        assert await bench.output("echo $KEPT") == "1"

    with_bench(body)


def test_one_that_sleeps_and_does_not_come_back_is_not_waited_for_longer() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("mkfifo fifo")
        started = time.monotonic()
        result = await bench.run("trap '' INT 60; read x <fifo", 0.2)
        assert (result["ended"], result["shell"]) == ("timeout", "ended")
        assert time.monotonic() - started < 1.5

    with_bench(body)


def test_a_room_that_ended_between_a_move_and_its_note_of_it_loses_no_shell() -> None:
    async def body(bench: Bench) -> None:
        note = bench.session.directory / "shell.json"
        await bench.run("KEPT=1")
        before = note.read_bytes()
        await bench.run("sleep 100 &")
        await until(lambda: bench.shell.summary()["state"] == "idle")
        assert note.read_bytes() != before
        await bench.shell.leave()
        note.write_bytes(before)
        bench.take_back()
        result = await bench.run("echo $KEPT; jobs -r | wc -l; echo here >&2")
        assert (result["stdout"], result["stderr"], result.get("shell")) == ("1\n1\n", "here\n", None)

    with_bench(body)

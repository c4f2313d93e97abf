# SPDX-License-Identifier: MIT
"""How commands of the stateful shell are ended, what goes on in the background, and what a new room finds."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from shell_session import Bench, new_shell, until, with_bench

from strata.sandbox.descriptor_store import DescriptorStore, name

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for cgroups of its own")


def processes(bench: Bench) -> list[int]:
    return [pid for group in bench.session.groups.scope.children() for pid in group.pids()]


# --- time-outs


@pytest.mark.parametrize(
    "command",
    [
        "sleep 100; echo no",
        "while :; do :; done",
        "while ((1)); do ((i++)); done",
        "for ((;;)); do sleep 0.01; done",
        "until false; do (:); done",
        "f() { while :; do g; done; }; g() { sleep 1; }; f; echo no",
        "trap '' INT TERM HUP; sleep 100; echo no",
        "trap '' INT TERM HUP; while :; do :; done",
        "trap 'echo int' INT; while :; do :; done",
        "(trap '' TERM INT; setsid sleep 100 </dev/null >/dev/null 2>&1 &); sleep 100 & wait",
        "wait -n < <(sleep 100); sleep 100 | cat; echo no",
        "x=$(sleep 100); echo no",
        "mkfifo fifo; read x <fifo; echo no",
        "mkfifo fifo; exec 5<>fifo; read -u 5 x; echo no",
        "mkfifo fifo; . ./fifo; echo no",
        "mkfifo fifo; echo >fifo; echo no",
        "eval 'source <(sleep 100)'; echo no",
        "kill -STOP $$; while :; do :; done",
        "set -m; sleep 100; echo no",
        "set -x; shopt -s extdebug; while :; do :; done",
        "coproc sleep 100; wait; echo no",
        "command_not_found_handle() { while :; do :; done; }; nosuch",
        "cat <<< $(while :; do :; done)",
        "set -e; sleep 100; echo no",
        "yes",
        "while :; do echo x; done",
    ],
)
def test_140_a_time_out_ends_all_of_the_command_and_none_of_the_state(command: str) -> None:
    async def body(bench: Bench) -> None:
        await bench.run("KEPT=1")
        result = await bench.run(command, 0.2)
        assert (result["ended"], result["exit_code"], result["error"]) == ("timeout", None, "command timeout")
        assert 200 <= result["elapsed_ms"] < 2000
        assert "no" not in result["stdout"].split()
        assert "shell" not in result
        after = await bench.run("set +x; \\echo ok $KEPT")
        assert (after["output"].splitlines()[-1], after["ended"]) == ("ok 1", "exit")
        await until(lambda: len(processes(bench)) == 1)

    with_bench(body)


def test_141_what_was_written_before_the_time_out_is_returned() -> None:
    async def body(bench: Bench) -> None:
        result = await bench.run("while :; do echo tick; sleep 0.1; done", 0.35)
        assert 1 <= len(ticks := result["output"].split()) <= 4
        assert set(ticks) == {"tick"}
        assert (await bench.run("echo ok"))["output"] == "ok"

    with_bench(body)


def test_the_first_command_runs_in_the_shell_that_was_begun_for_it() -> None:
    async def body(bench: Bench) -> None:
        bench.shell.begin()
        assert await bench.output("echo $$") == await bench.output("echo $$")
        assert len(bench.session.processes) == 1

    with_bench(body)


@pytest.mark.parametrize("moments", [0, 1, 100], ids=["at once", "soon", "when it waits"])
def test_a_shell_that_was_begun_and_not_used_goes_with_its_session(moments: int) -> None:
    """The bench sees to it that nothing of it is left."""

    async def body(bench: Bench) -> None:
        bench.shell.begin()
        await asyncio.sleep(moments / 100)

    with_bench(body)


def test_a_shell_that_cannot_be_led_back_is_replaced() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("LOST=1; touch kept")
        started = time.monotonic()
        result = await bench.run("trap '' INT 60; while :; do :; done", 0.2)
        assert (result["ended"], result["shell"]) == ("timeout", "ended")
        assert time.monotonic() - started < 4, "one that did not get to run is given five seconds"
        result = await bench.run("echo ok $LOST; ls")
        assert (result["output"], result["shell"]) == ("ok\nkept", "restarted")

    with_bench(body)


def test_many_time_outs_in_a_row_lose_no_state() -> None:
    """The interrupt comes at any moment: in the middle of a command, of a report, of reading the next line."""

    async def body(bench: Bench) -> None:
        await bench.run("KEPT=1")
        for number in range(60):
            result = await bench.run(f"echo {number}; for i in {{1..{number * 20}}}; do :; done", 0.0003 * (number % 7))
            assert result["ended"] in ("timeout", "exit")
            assert result["output"] in ("", str(number))
            assert await bench.output(f"echo ok{number} $KEPT") == f"ok{number} 1"

    with_bench(body)


# --- background jobs


def test_150_background_jobs_do_not_hold_up_the_answer_and_live_on() -> None:
    async def body(bench: Bench) -> None:
        started = time.monotonic()
        assert await bench.output("sleep 100 & echo started") == "started"
        assert time.monotonic() - started < 1
        assert await bench.output("jobs -r | wc -l; kill %1; wait; jobs -r | wc -l") == "1\n0"
        await until(lambda: not bench.shell.busy)

    with_bench(body)


def test_output_of_background_jobs_is_nobodys_and_breaks_nothing() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("(for i in 1 2 3 4 5 6 7 8 9; do sleep 0.02; echo noise; done; seq 100000; touch done) &")
        for number in range(10):
            assert await bench.output(f"echo {number}; sleep 0.02") == str(number)
        await until(lambda: os.path.exists(bench.session.directory / "root/done"))
        await until(lambda: not bench.shell.busy)

    with_bench(body)


def test_a_time_out_spares_the_background_jobs_of_earlier_commands() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("sleep 100 & echo $! >early")
        result = await bench.run("sleep 99 & sleep 98", 0.2)
        assert result["ended"] == "timeout"
        assert await bench.output("ps -o args= -p $(<early); pgrep -f 'sleep 9[89]' -s 0") == "sleep 100"

    with_bench(body)


def test_an_exit_spares_background_jobs() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("sleep 100 & echo $! >early; exit 3")
        assert await bench.output("ps -o args= -p $(<early)") == "sleep 100"
        assert bench.shell.busy

    with_bench(body)


def test_cgroups_and_pipes_of_ended_jobs_are_removed() -> None:
    async def body(bench: Bench) -> None:
        for _ in range(5):
            await bench.run("sleep 0.05 &")
        await until(lambda: not bench.shell.busy)
        await bench.run(":")
        await until(lambda: not bench.shell.busy and len(bench.session.groups.scope.children()) == 1)
        pipes = os.listdir(bench.session.directory / "exchange/shell-1")
        assert sum(name.startswith(("out-", "err-")) for name in pipes) == 2

    with_bench(body)


def test_orphans_by_the_hundred() -> None:
    async def body(bench: Bench) -> None:
        result = await bench.run("for i in {1..300}; do (sleep 0.01 &); done; echo done")
        assert result["output"] == "done"
        await until(lambda: not bench.shell.busy)

    with_bench(body)


# --- what it cost


def test_cost_is_of_the_command_alone() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("for ((i=0;i<200000;i++)); do :; done")
        idle = await bench.run(":")
        busy = await bench.run("python3 -c 'x = bytearray(50_000_000); [i*i for i in range(1_000_000)]'")
        assert idle["cpu_ms"] < 20 < busy["cpu_ms"] < 5000
        assert busy["memory_peak"] > 50_000_000
        assert (await bench.run(":"))["memory_peak"] < 50_000_000

    with_bench(body)


# --- a new room


def test_a_new_room_finds_the_shell_with_its_state() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("A=1; cd /tmp; set -e; sleep 100 &")
        await bench.shell.leave()
        bench.take_back()
        result = await bench.run("echo $A; pwd; jobs -r | wc -l; [[ -o errexit ]] && echo on")
        assert result["output"] == "1\n/tmp\n1\non"
        assert "shell" not in result
        result = await bench.run("echo a; echo b >&2; echo c; exit 3")
        assert (result["output"], result["ended"]) == ("a\nb\nc", "exit") or result["ended"] == "signal"
        assert await bench.output("echo new$A") == "new"

    with_bench(body)


@pytest.mark.parametrize("command", ["sleep 100; echo no", "while :; do :; done", "while :; do echo noise; done"])
def test_a_new_room_ends_what_the_old_one_was_running(command: str) -> None:
    async def body(bench: Bench) -> None:
        await bench.run("A=1")
        old = bench.shell
        running = asyncio.create_task(bench.run(command))
        await until(lambda: old.summary()["state"] == "busy")
        await asyncio.sleep(0.05)
        bench.take_back()  # the old one knows nothing of it, as when it was killed
        assert await bench.output("echo ok $A") == "ok 1"
        await until(lambda: len(processes(bench)) == 1)
        running.cancel()
        await old.leave()

    with_bench(body)


def test_a_new_room_notices_that_the_shell_is_gone() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("sleep 100 &")
        await bench.shell.leave()
        bench.session.processes[0].send_signal(signal.SIGKILL)
        bench.session.processes[0].wait()
        bench.take_back()
        assert bench.shell.busy
        assert await bench.output("echo ok") == "ok"

    with_bench(body)


def test_a_shell_that_an_older_room_gave_a_keeper_goes_on_and_the_keepers_word_counts() -> None:
    """The descriptor by which it tells was kept by the service manager."""

    async def body(bench: Bench) -> None:
        await bench.run("A=1")
        await bench.shell.leave()
        told, keeper = os.pipe()
        store = DescriptorStore({name("shell", bench.session.key, "1", "status"): told})
        bench.shell = new_shell(bench.session, bench.inotify, store=store)
        bench.shell.adopt()
        assert await bench.output("echo $A") == "1"
        running = asyncio.create_task(bench.run("exit 3"))
        await until(lambda: not processes(bench))
        os.write(keeper, b'{"exit_code": 5, "cpu_ms": 0, "max_rss": 0}\n')
        os.close(keeper)
        result = await running
        assert (result["ended"], result["exit_code"], result["shell"]) == ("exit", 5, "ended")
        assert await bench.output("echo new$A") == "new"

    with_bench(body)

# SPDX-License-Identifier: MIT
"""sandbox.exec through the room, in a real sandbox: who is served, what is cancelled, what outlives the room."""

from __future__ import annotations

import concurrent.futures
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import wire
from inside import Inside
from node import Node, until

MOST = 1_048_576


@pytest.fixture
def inside(strata: Node) -> Iterator[Inside]:
    session = Inside(strata, "exectest", "one")
    yield session
    if "one" in [found["session"] for found in strata.call("sandbox.list", {"owner": "exectest"})["sessions"]]:
        session.call("close")


def execute(inside: Inside, command: str, **params: Any) -> Any:
    return inside.call("exec", command=command, **params)


def test_131_135_the_first_command_opens_the_session_in_its_home(inside: Inside) -> None:
    result = execute(inside, "pwd; id -u; echo $HOME $USER $TERM $PATH")
    assert result["output"].splitlines() == [
        "/root",
        "0",
        "/root root xterm-256color /usr/local/bin:/usr/bin:/bin:/sbin",
    ]
    assert (result["cwd"], result["exit_code"], result["ended"]) == ("/root", 0, "exit")
    assert result["elapsed"].endswith(("ms", "s"))
    assert result["cpu_ms"] >= 0
    assert result["memory_peak"] > 0


def test_134_what_is_no_command_is_refused(inside: Inside) -> None:
    assert inside.refusal("exec", command="") == (1, "command is required")
    assert inside.refusal("exec") == (1, "command is required")
    assert inside.refusal("exec", command="a\0b")[0] == 1
    assert inside.refusal("exec", command="true", timeout_ms="5") == (
        1,
        "timeout_ms must be a number of at most 64 bits",
    )
    assert execute(inside, "echo ok", timeout_ms=-1)["output"] == "ok"


def test_136_state_persists(inside: Inside) -> None:
    execute(inside, "export A=5; cd /tmp")
    assert execute(inside, "echo $A; pwd")["output"] == "5\n/tmp"


def test_both_streams_are_in_order_in_a_sandbox_too(inside: Inside) -> None:
    execute(inside, "sleep 86501 &")
    for _ in range(10):
        result = execute(inside, "echo a; echo b >&2; echo c; /bin/echo d >/dev/stderr; echo e; (echo f >&2); echo g")
        assert result["output"] == "a\nb\nc\nd\ne\nf\ng"


def test_140_a_time_out_leaves_no_process(inside: Inside) -> None:
    before = time.monotonic()
    result = execute(inside, "setsid sleep 86502 & sleep 86502", timeout_ms=300)
    assert time.monotonic() - before < 2
    assert (result["ended"], result["error"]) == ("timeout", "command timeout")
    assert not [one for one in inside.processes() if "86502" in one]
    assert execute(inside, "echo ok")["output"] == "ok"


def test_149_commands_of_four_callers_take_turns(inside: Inside) -> None:
    execute(inside, "true")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        commands = [f"for i in 1 2 3; do echo {number}; done" for number in range(4)]
        results = list(pool.map(lambda command: execute(inside, command)["output"], commands))
    assert results == [f"{number}\n{number}\n{number}" for number in range(4)]


def test_152_a_caller_who_hangs_up_ends_his_command(inside: Inside) -> None:
    execute(inside, "A=1")
    with inside.asked("exec", command="sleep 86503; echo no"):
        until(lambda: [one for one in inside.processes() if "86503" in one], "it runs")
    until(lambda: not [one for one in inside.processes() if "86503" in one], "it is gone")
    assert execute(inside, "echo ok $A")["output"] == "ok 1"


def test_146_a_result_that_no_frame_carries_is_cut_or_written_to_a_memfd(inside: Inside) -> None:
    command = "head -c 1500000 /dev/zero | tr '\\0' x"
    result = execute(inside, command)
    assert result["truncated"] is True
    assert 0 < len(result["output"]) < MOST
    memory = os.memfd_create("result")
    try:
        answer = inside.answer("exec", [memory], command=command)
        found = json.loads(os.pread(memory, answer["written"], 0))
        assert (found["output"], found["truncated"]) == ("x" * MOST, True)
        assert inside.answer("exec", [memory], command="echo small")["output"] == "small"
    finally:
        os.close(memory)


def test_a_large_result_goes_to_memory_and_nowhere_else(inside: Inside) -> None:
    readable, writable = os.pipe()
    try:
        with inside.asked("exec", [writable], command="true") as connection:
            assert wire.error(connection.reply())[0] == 1
    finally:
        os.close(readable)
        os.close(writable)


def test_too_much_memory_is_told_as_such(strata: Node) -> None:
    small = Inside(strata, "exectest", "small")
    small.call("create", limits={"memory_max": "64M"})
    try:
        result = execute(small, "KEPT=1; touch kept; tail /dev/zero")
        assert result["ended"] == "oom", result
        assert execute(small, "echo alive; ls")["output"] == "alive\nkept"
        result = execute(small, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}")
        assert (result["ended"], result["exit_code"]) != ("exit", 0)
        assert execute(small, "echo alive")["output"] == "alive"
    finally:
        small.call("close")


def test_a_frozen_session_runs_nothing(inside: Inside) -> None:
    execute(inside, "A=1")
    inside.call("freeze")
    assert inside.refusal("exec", command="true")[0] == 8
    inside.call("thaw")
    assert execute(inside, "echo $A")["output"] == "1"


def test_closing_a_session_ends_its_command(inside: Inside) -> None:
    execute(inside, "true")
    with inside.asked("exec", command="sleep 86504") as connection:
        until(lambda: [one for one in inside.processes() if "86504" in one], "it runs")
        inside.call("close")
        assert wire.result(connection.reply())["ended"] == "cancelled"


def test_the_shell_outlives_a_killed_room(strata: Node, inside: Inside) -> None:
    execute(inside, "A=1; cd /tmp; sleep 86505 & echo $! >/root/job")
    strata.kill("sandbox")
    result = execute(inside, "echo $A; pwd; jobs -r | wc -l; ls /proc/$(</root/job)/exe >/dev/null && echo job")
    assert result["output"] == "1\n/tmp\n1\njob"
    assert "shell" not in result
    result = execute(inside, "exit 3")
    assert (result["exit_code"], result["ended"]) == (3, "exit")
    assert execute(inside, "echo new $A")["shell"] == "restarted"


def test_what_a_killed_room_was_running_is_ended_by_the_next(strata: Node, inside: Inside) -> None:
    execute(inside, "A=1")
    with inside.asked("exec", command="sleep 86506; echo no"):
        until(lambda: [one for one in inside.processes() if "86506" in one], "it runs")
        strata.kill("sandbox")
    assert execute(inside, "echo ok $A")["output"] == "ok 1"
    assert not [one for one in inside.processes() if "86506" in one]


def test_a_frozen_session_stays_so_over_a_killed_room_and_its_shell_goes_on_afterwards(
    strata: Node, inside: Inside
) -> None:
    execute(inside, "A=1; sleep 86507 &")
    inside.call("freeze")
    strata.kill("sandbox")
    described = inside.call("describe")
    assert described["state"] == "frozen"
    assert inside.refusal("exec", command="true")[0] == 8
    time.sleep(0.5)
    shown = strata.manager.run(["sh", "-c", f"cat {described['cgroup']}/shell-*/cgroup.freeze"]).stdout
    assert shown.split() == ["1", "1"]  # of the job, and of the shell that has moved away from it
    inside.call("thaw")
    result = execute(inside, "echo $A; jobs -r | wc -l")
    assert (result["output"], result.get("shell")) == ("1\n1", None)


def test_a_command_for_a_frozen_session_is_refused_at_once_while_another_stands_still_in_it(inside: Inside) -> None:
    execute(inside, "true")
    with inside.asked("exec", command="sleep 86508"):
        until(lambda: [one for one in inside.processes() if "86508" in one], "it runs")
        inside.call("freeze")
        assert inside.refusal("exec", command="true")[0] == 8
        inside.call("thaw")


def test_describe_shows_the_shell(inside: Inside) -> None:
    execute(inside, "cd /tmp")
    shell = inside.call("describe")["shell"]
    assert (shell["state"], shell["cwd"], shell["waiting"]) == ("idle", "/tmp", 0)

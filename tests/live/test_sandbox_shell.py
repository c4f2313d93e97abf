# SPDX-License-Identifier: MIT
"""The stateful shell on real cgroups and pipes: what commands may do to it, and what becomes of their state."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from shell_session import Bench, with_bench

from strata.errors import ResourceExhausted
from strata.sandbox.shell.shell import MOST_WAITING

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for cgroups of its own")

SOON = 2.0


async def until(holds: Callable[[], Any], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def says(steps: list[tuple[str, str]], **options: Any) -> None:
    """Each command's output is as given."""

    async def body(bench: Bench) -> None:
        for command, expected in steps:
            assert await bench.output(command) == expected, command

    with_bench(body, **options)


ASKED = r"""\builtin printf 'out\n'; \builtin printf 'err\n' >&2; \builtin printf '%s\n' "$KEPT" """

# --- state


def test_136_directory_variables_functions_and_options_persist() -> None:
    says(
        [
            ("export A=5; cd /tmp; f() { echo f$1; }; shopt -s nullglob; set -f; alias hi='echo hello'", ""),
            ("echo $A; pwd; f 1; shopt -q nullglob && echo on; echo /t*; set +f", "5\n/tmp\nf1\non\n/t*"),
            ("hi; declare -A M=([k]=v); umask 077; set -- x y", "hello"),
            ("echo ${M[k]} $2; umask; bash -c 'echo $A'", "v y\n0077\n5"),
        ]
    )


def test_the_last_status_persists() -> None:
    says([("(exit 7)", ""), ("echo $?", "7"), ("true", ""), ("echo $?", "0")])


def test_a_shell_has_no_variables_or_functions_of_ours() -> None:
    says([("compgen -v | grep -i strata; declare -F; jobs", ""), ("echo ${PS1-unset}x$-", "xhiBEs")])


@pytest.mark.parametrize(
    "command",
    [
        "IFS=0123456789",
        "set -u",
        "set -x",
        "set -v",
        "set -f -C",
        "set -o posix",
        "shopt -s nocasematch extglob; shopt -u interactive_comments",
        "exec >/dev/null",
        "exec >/dev/null 2>&1 </dev/zero",
        "exec 3>&1 4>&2 5</dev/null; exec 40>/dev/null 41>/dev/null 42>/dev/null",
        "exec 3>&- 40>&- 41>&- 42>&-",
        "mkdir /tmp/gone$$; cd /tmp/gone$$; rmdir /tmp/gone$$",
        "unset PWD OLDPWD HOME PATH; PATH=/usr/bin:/bin",
        "alias eval=false read=false printf=false builtin=false .=false exec=false",
        "eval() { :; }; read() { :; }; printf() { :; }; set() { :; }; trap() { :; }; exit() { :; }; source() { :; }",
        "trap 'echo dbg' DEBUG; trap 'echo ret' RETURN",
        "trap 'echo bye' EXIT; trap '' INT TERM USR1 USR2 PIPE CHLD",
        "PROMPT_COMMAND='echo prompt'; PS0=ps0; PS1='$ '; PS4='echo $(date) '",
        "readonly R=1; R=2",
        "echo $((1/0))",
        "${nope:?not there}",
        "exec /no/such/program",
        "return 3",
        "break; continue; break 5",
        "for i in 1 2; do break 9; done; while :; do continue 3; break; done & kill $!; wait",
        "fi",
        "echo 'unbalanced",
        'echo "unbalanced',
        "case",
        "$(",
        "cat <<EOF\nno end",
        "echo hi \\",
        "enable -n echo",
        "disown -a; wait; fg; bg",
        "ulimit -n 64",
        "hash -r; set +o history; history -c",
        "kill -INT $$",
        "kill -TERM $$",
        "local x=1; shift 5; getopts",
        "a() { b; }; b() { return 4; }; a",
    ],
)
def test_the_session_survives(command: str) -> None:
    """Whatever a command does to its shell, the next one gets its own output, all of it, and nothing else."""

    async def body(bench: Bench) -> None:
        await bench.run("KEPT=1")
        await bench.run(command)
        result = await bench.run("set +xvu; trap - DEBUG RETURN\n" + ASKED)
        assert result["stdout"] == "out\n1\n", result
        assert result["stderr"].endswith("err\n"), result
        assert result["exit_code"] == 0
        assert "shell" not in result

    with_bench(body)


@pytest.mark.parametrize(
    ("command", "code"), [("exit 3", 3), ("exit", 0), ("exec sh -c 'exit 5'", 5), ("f() { exit 4; }; f", 4)]
)
def test_139_a_command_that_exits_ends_with_its_code_and_the_next_gets_a_new_shell(command: str, code: int) -> None:
    async def body(bench: Bench) -> None:
        await bench.run("A=1; touch file")
        result = await bench.run(command)
        assert (result["exit_code"], result["ended"], result["shell"]) == (code, "exit", "ended")
        result = await bench.run("ls file; echo A=$A")
        assert (result["output"], result["shell"]) == ("file\nA=", "restarted")
        assert "shell" not in await bench.run("echo")

    with_bench(body)


def test_151_a_shell_that_is_killed_is_replaced() -> None:
    async def body(bench: Bench) -> None:
        result = await bench.run("echo before; kill -9 $$; echo after")
        assert (result["exit_code"], result["ended"], result["signal"]) == (None, "signal", "SIGKILL")
        assert result["output"] == "before"
        assert await bench.output("echo ok") == "ok"

    with_bench(body)


def test_a_shell_that_is_killed_between_commands_is_replaced() -> None:
    async def body(bench: Bench) -> None:
        await bench.run(":")
        bench.session.processes[0].kill()
        await until(lambda: bench.session.processes[0].poll() is not None)
        result = await bench.run("echo ok")
        assert (result["output"], result["ended"]) in [("ok", "exit"), ("", "signal")]  # it may not be known yet
        assert await bench.output("echo ok") == "ok"

    with_bench(body)


# --- set -e


def test_errexit_ends_the_command_and_not_the_shell() -> None:
    async def body(bench: Bench) -> None:
        result = await bench.run("A=1; cd /tmp; set -eo pipefail\necho one\nfalse | true\necho two")
        assert (result["output"], result["exit_code"], result["ended"]) == ("one", 1, "exit")
        assert "shell" not in result
        assert await bench.output("echo $A; pwd; [[ -o errexit ]] && echo on") == "1\n/tmp\non"
        result = await bench.run("f() { g; echo f; }; g() { for i in 1 2; do (exit $i); done; echo g; }; f; echo no")
        assert (result["output"], result["exit_code"]) == ("", 1)
        assert (
            await bench.output("if false; then :; fi; false || echo or; ! true; f && echo no || echo and")
            == "or\ng\nf\nno"
        )
        assert (await bench.run("echo $(false; echo sub); (echo in; false; echo no); echo no"))["output"] == "sub\nin"
        assert await bench.output("set +e; false; echo still") == "still"
        assert await bench.output("false; echo still") == "still"

    with_bench(body)


# --- text


def test_143_heredocs_many_lines_and_comments() -> None:
    says(
        [
            ("echo hi # c", "hi"),
            ("# only a comment", ""),
            ("cat <<EOF\nhello\nEOF", "hello"),
            ("echo a\necho b\n\n", "a\nb"),
            ("if true; then\n  echo \\\n  c\nfi", "c"),
            ("shopt -s extglob\necho !(x)y", "!(x)y"),
            ("echo 'ü\t\"$x\" `'", 'ü\t"$x" `'),
        ]
    )


def test_142_syntax_errors_are_told() -> None:
    async def body(bench: Bench) -> None:
        for command in ("echo 'hi", "fi", "echo (", "if true; then"):
            result = await bench.run(command, SOON)
            assert (result["ended"], result["exit_code"]) == ("exit", 2), command
            assert "syntax error" in result["stderr"] or "unexpected EOF" in result["stderr"]
        assert await bench.output("echo ok") == "ok"

    with_bench(body)


@pytest.mark.parametrize("size", [5_000, 200_000, 1_000_000])
def test_145_long_commands(size: int) -> None:
    says([(f"A={'x' * size}; echo ${{#A}}", str(size))])


def test_144_stdin_is_empty_or_what_was_given() -> None:
    async def body(bench: Bench) -> None:
        assert (await bench.run("cat", SOON))["output"] == ""
        assert (await bench.run("read x; echo $?", SOON))["output"] == "1"
        assert (await bench.run("read x; echo $x; cat", stdin=b"one\ntwo\n\xff"))["output_b64"] == "b25lCnR3bwr/"
        assert (await bench.run("cat", SOON))["output"] == ""

    with_bench(body)


def test_commands_have_three_descriptors_and_no_more() -> None:
    says([("ls /proc/self/fd | tr '\\n' ' '; (ls /proc/self/fd) | wc -l", "0 1 2 3 4")])


# --- one after another, side by side


def test_149_commands_of_one_session_take_turns() -> None:
    async def body(bench: Bench) -> None:
        commands = [f"for i in 1 2 3; do echo {number}; sleep 0.01; done" for number in range(4)]
        outputs = await asyncio.gather(*map(bench.output, commands))
        assert outputs == [f"{number}\n{number}\n{number}" for number in range(4)]

    with_bench(body)


def test_the_queue_has_an_end() -> None:
    async def body(bench: Bench) -> None:
        first = asyncio.create_task(bench.run("sleep 100"))
        waiting = [asyncio.create_task(bench.run(f"echo {number}")) for number in range(MOST_WAITING + 1)]
        await until(lambda: waiting[-1].done())
        with pytest.raises(ResourceExhausted, match="commands of this session wait"):
            await waiting[-1]
        first.cancel()
        assert [(await one)["output"] for one in waiting[:-1]] == [str(number) for number in range(MOST_WAITING)]

    with_bench(body)


def test_152_a_cancelled_command_dies_and_the_next_is_clean() -> None:
    async def body(bench: Bench) -> None:
        running = asyncio.create_task(bench.run("A=1; (while :; do echo noise; sleep 0.01; done) & sleep 100; echo no"))
        await until(lambda: len(processes(bench)) > 2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await bench.output("echo ok $A") == "ok 1"
        await until(lambda: len(processes(bench)) == 1)  # who was killed takes a moment to go

    with_bench(body)


def processes(bench: Bench) -> list[int]:
    return [pid for group in bench.session.groups.scope.children() for pid in group.pids()]

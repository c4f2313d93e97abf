# SPDX-License-Identifier: MIT
"""The stateful shell where there is no bash: what any POSIX sh must do, and what only bash can is in the documents."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from shell_session import Bench, with_bench

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for cgroups of its own")


@pytest.fixture(params=["busybox", "dash"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"needs {request.param}")
    (tmp_path / "sh").symlink_to(found)
    return str(tmp_path / "sh")


def test_state_output_and_status(shell: str) -> None:
    async def body(bench: Bench) -> None:
        result = await bench.run("A=5; cd /tmp; f() { echo f; }; echo a; echo b >&2; echo c")
        assert (result["output"], result["stderr"], result["cwd"]) == ("a\nb\nc", "b\n", "/tmp")
        assert await bench.output("echo $A; pwd; f; cat") == "5\n/tmp\nf"
        assert (await bench.run("false"))["exit_code"] == 1
        assert await bench.output("sleep 100 & echo started") == "started"
        assert await bench.output("echo x >/dev/stderr; exec >/dev/null; echo y") == "x"
        assert await bench.output("ls /proc/self/fd | wc -l") == "4"

    with_bench(body, shell=shell)


@pytest.mark.parametrize("command", ["fi", "echo 'x", "set -u; echo $no; set +u", "return 3", "break"])
def test_errors_end_the_command_alone(shell: str, command: str) -> None:
    async def body(bench: Bench) -> None:
        await bench.run("A=1")
        await bench.run(command, 2)
        result = await bench.run("set +u; echo ok $A")
        assert (result["output"], result.get("shell")) == ("ok 1", None)

    with_bench(body, shell=shell)


def test_exits_are_told_and_the_next_gets_a_new_shell(shell: str) -> None:
    async def body(bench: Bench) -> None:
        assert (await bench.run("exit 3"))["exit_code"] == 3
        assert (await bench.run("echo ok"))["shell"] == "restarted"

    with_bench(body, shell=shell)


@pytest.mark.parametrize(
    "command", ["while :; do :; done", "sleep 100; echo no", "f() { while :; do sleep 1; done; }; f"]
)
def test_time_outs_keep_the_state(shell: str, command: str) -> None:
    async def body(bench: Bench) -> None:
        await bench.run("A=1")
        result = await bench.run(command, 0.2)
        assert (result["ended"], result["output"]) == ("timeout", "")
        result = await bench.run("echo ok $A")
        assert (result["output"], result.get("shell")) == ("ok 1", None)

    with_bench(body, shell=shell)

# SPDX-License-Identifier: MIT
"""What the stateful shell returns of what its commands write: all of it, in its order, up to a limit."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Any

import pytest
from shell_session import Bench, with_bench
from shell_session import bench as another

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for cgroups of its own")

MOST = 1_048_576


def result_of(command: str, **options: Any) -> dict[str, Any]:
    """Of the second command of a shell, so that what its start wrote would show."""
    found: list[dict[str, Any]] = []

    async def body(bench: Bench) -> None:
        await bench.run(":")
        found.append(await bench.run(command))
        assert await bench.output("echo next") == "next"

    with_bench(body, **options)
    return found[0]


def test_137_lines_end_as_they_were_written() -> None:
    result = result_of("echo a; echo b; printf 'c\\r\\n\\n'")
    assert (result["output"], result["stdout"]) == ("a\nb\nc\r", "a\nb\nc\r\n\n")


def test_138_stderr_is_returned_alone_and_in_the_output() -> None:
    result = result_of("echo e >&2")
    assert (result["output"], result["stdout"], result["stderr"]) == ("e", "", "e\n")


@pytest.mark.parametrize("writer", ["echo", "/bin/echo"])
def test_both_streams_are_in_the_order_they_were_written(writer: str) -> None:
    async def body(bench: Bench) -> None:
        for _ in range(20):
            result = await bench.run(f"for i in 1 2 3 4 5; do {writer} o$i; {writer} p$i; {writer} e$i >&2; done")
            assert result["output"].split() == [f"{kind}{i}" for i in range(1, 6) for kind in "ope"]

    with_bench(body)


def test_the_order_is_kept_by_the_pipes_of_a_second_shell_too() -> None:
    async def body(bench: Bench) -> None:
        await bench.run("sleep 100 &")
        for _ in range(20):
            assert await bench.output("echo a; echo b >&2; echo c; echo d >/dev/stderr; echo e") == "a\nb\nc\nd\ne"

    with_bench(body)


def test_large_writes_to_both_streams_are_whole() -> None:
    result = result_of(
        "for i in 1 2 3; do head -c 50000 /dev/zero | tr '\\0' o; head -c 50000 /dev/zero | tr '\\0' e >&2; done"
    )
    assert (len(result["stdout"]), set(result["stdout"])) == (150_000, {"o"})
    assert (len(result["stderr"]), set(result["stderr"])) == (150_000, {"e"})
    assert sorted(result["output"]) == sorted(result["stdout"] + result["stderr"])


def test_many_small_writes_are_whole() -> None:
    result = result_of("for ((i=0;i<5000;i++)); do echo $i; echo $i >&2; done")
    expected = "".join(f"{number}\n" for number in range(5000))
    assert (result["stdout"], result["stderr"]) == (expected, expected)


def test_146_output_is_cut_at_its_limit() -> None:
    result = result_of("head -c 1500000 /dev/zero | tr '\\0' x")
    assert (result["output"], result["truncated"], result["exit_code"]) == ("x" * MOST, True, 0)
    assert result["stdout"] == "x" * MOST


def test_each_stream_has_the_limit_of_its_own() -> None:
    result = result_of("head -c 900 /dev/zero | tr '\\0' o; head -c 900 /dev/zero | tr '\\0' e >&2", output_max=1000)
    assert result["output"] == "o" * 900 + "e" * 100
    assert (len(result["stdout"]), len(result["stderr"]), result["truncated"]) == (900, 900, True)


def test_147_what_is_kept_is_the_beginning() -> None:
    result = result_of("seq 1 500000")
    assert result["output"] == "".join(f"{number}\n" for number in range(1, 500_001))[:MOST]
    assert result["truncated"] is True


def test_a_command_that_writes_more_than_is_kept_is_not_held_up() -> None:
    result = result_of("head -c 300000000 /dev/zero; echo $? >&2")
    assert (result["stderr"], result["truncated"]) == ("0\n", True)


def test_148_any_bytes_come_back_as_they_are() -> None:
    result = result_of("printf 'a\\0b\\033[1m'; printf '__STRATA_EXEC_END__\\n1 0 0 /root\\0'")
    assert result["output"] == "a\0b\x1b[1m__STRATA_EXEC_END__\n1 0 0 /root\0"
    assert "output_b64" not in result
    result = result_of("printf '\\xff\\xfe' >&2; echo fine")
    assert (result["stderr"], base64.b64decode(result["stderr_b64"])) == ("��", b"\xff\xfe")
    assert base64.b64decode(result["output_b64"]) == b"\xff\xfefine"
    assert "stdout_b64" not in result


def test_131_132_trailing_line_ends_are_trimmed_and_elapsed_is_a_duration() -> None:
    result = result_of("echo hello_strata_test; echo; sleep 0.012")
    assert result["output"] == "hello_strata_test"
    assert result["elapsed"] == f"{result['elapsed_ms']}ms"
    assert result["truncated"] is False


def test_output_that_a_command_left_in_the_pipe_is_its_own() -> None:
    async def body(bench: Bench) -> None:
        for number in range(50):
            assert await bench.output(f"echo {number}; (echo {number} >&2)") == f"{number}\n{number}"

    with_bench(body)


def test_sessions_do_not_wait_for_one_another() -> None:
    async def body(bench: Bench) -> None:
        async def other(second: Bench) -> None:
            slow = asyncio.create_task(bench.run("sleep 5"))
            assert await second.output("echo ok") == "ok"
            assert not slow.done()
            slow.cancel()

        async with another() as second:
            await other(second)

    with_bench(body)

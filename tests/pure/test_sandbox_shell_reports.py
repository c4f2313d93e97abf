# SPDX-License-Identifier: MIT
"""The stateful shell's reports, outcomes and queue, without a shell."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from strata.errors import ResourceExhausted
from strata.sandbox.shell import exchange
from strata.sandbox.shell.dialect import BASH, SH, dialect
from strata.sandbox.shell.gathered import ERR, OUT, Gathered
from strata.sandbox.shell.outcome import End, Outcome, of_code, of_shell, whole
from strata.sandbox.shell.report import Report, Reports, parse
from strata.sandbox.shell.turn import Turn

# --- reports


def test_a_report_may_come_in_pieces_and_its_directory_may_hold_anything() -> None:
    reports = Reports()
    assert reports.feed(b"7 1 0 /a b") == []
    assert reports.feed(b"\nc\0008 130 1 \0") == [Report(7, 1, False, "/a b\nc"), Report(8, 130, True, "")]


@pytest.mark.parametrize("record", [b"", b"x", b"1 2 3", b"1 -2 0 /", b"1 2 x /", b"12345678901 0 0 /", b" 1 0 0 /"])
def test_what_is_no_report_is_passed_over(record: bytes) -> None:
    assert parse(record) is None
    assert Reports().feed(record + b"\0" + b"1 0 0 /\0") == [Report(1, 0, False, "/")]


def test_a_report_that_never_ends_is_dropped() -> None:
    reports = Reports()
    for _ in range(20):
        assert reports.feed(b"x" * 10_000) == []
    assert reports.feed(b"\x001 0 0 /\0") == [Report(1, 0, False, "/")]


def test_of_a_flood_of_reports_the_newest_are_looked_at() -> None:
    found = Reports().feed(b"1 0 0 /\0" * 8000 + b"2 3 0 /\0")
    assert len(found) < 100
    assert found[-1] == Report(2, 3, False, "/")
    assert Reports().feed(b"\0" * 65_536) == []


def test_a_directory_that_is_not_utf_8_is_shown_as_well_as_it_can_be() -> None:
    assert parse(b"1 0 0 /\xff") == Report(1, 0, False, "/�")


# --- lines


def test_the_shell_is_known_by_its_name() -> None:
    assert dialect("/usr/bin/bash") is BASH
    assert dialect("/bin/sh") is SH


@pytest.mark.parametrize("spoken", [BASH, SH])
def test_lines_are_written_in_one_piece(spoken: object) -> None:
    """PIPE_BUF, pipe(7): what is shorter is not torn."""
    assert spoken in (BASH, SH)
    shell = BASH if spoken is BASH else SH
    for line in (
        shell.first("/run/strata/shell-123456789", 10**9),
        shell.run("/run/strata/shell-123456789", 10**9, "/run/strata/shell-123456789/input", True),
        shell.move("/run/strata/shell-123456789", 10**9, "out-123456789", "err-123456789"),
        shell.back("/run/strata/shell-123456789", 10**9),
    ):
        assert line.endswith("\n")
        assert len(line) < 4096


# --- output


def test_each_of_the_three_is_cut_by_itself() -> None:
    gathered = Gathered(5)
    gathered.add(OUT, b"abc")
    gathered.add(ERR, b"123")
    gathered.add(OUT, b"d")
    assert (gathered.both, gathered.streams) == (b"abc12", (b"abcd", b"123"))
    assert gathered.truncated


def outcome(end: End, out: bytes = b"", most: int = 100, state: str = "") -> Outcome:
    gathered = Gathered(most)
    gathered.add(OUT, out)
    return Outcome(end, gathered, 1.2186, 3.21987, 4096, "/root", state)


def test_an_answer_says_how_it_ended_and_what_it_cost() -> None:
    assert whole(outcome(End("exit", 3), b"a\n\n")) == {
        "exit_code": 3,
        "ended": "exit",
        "elapsed": "1.219s",
        "elapsed_ms": 1219,
        "cpu_ms": 3.22,
        "memory_peak": 4096,
        "truncated": False,
        "cwd": "/root",
        "output": "a",
        "stdout": "a\n\n",
        "stderr": "",
    }


def test_output_that_was_cut_is_not_trimmed() -> None:
    assert whole(outcome(End("exit", 0), b"ab\ncd", most=3))["output"] == "ab\n"


def test_only_what_is_not_utf_8_comes_as_base64_too() -> None:
    said = whole(outcome(End("exit", 0), b"\xff"))
    assert (said["stdout"], said["stdout_b64"], said["output_b64"]) == ("�", "/w==", "/w==")
    assert "stderr_b64" not in said


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (of_code(0, 0), ("exit", 0, None)),
        (of_code(137, 0), ("exit", 137, None)),
        (of_code(137, 1), ("oom", 137, None)),
        (of_code(1, 1), ("exit", 1, None)),
        (of_shell(3, None, 0, ""), ("exit", 3, None)),
        (of_shell(None, 9, 0, ""), ("signal", None, 9)),
        (of_shell(None, 9, 1, ""), ("oom", None, 9)),
        (of_shell(None, 11, 1, ""), ("signal", None, 11)),
        (of_shell(None, None, 0, "its keeper was killed"), ("cancelled", None, None)),
    ],
)
def test_why_it_was_over(end: End, expected: tuple[str, int | None, int | None]) -> None:
    assert (end.ended, end.code, end.signal) == expected


def test_the_answer_tells_of_a_signal_and_of_the_shell() -> None:
    said = whole(outcome(End("signal", None, 9), state="ended"))
    assert (said["exit_code"], said["signal"], said["shell"]) == (None, "SIGKILL", "ended")


# --- what lies in the exchange directory


def test_what_is_no_pipe_is_not_taken_for_one(tmp_path: Path) -> None:
    """In user mode those inside can put anything there."""
    directory = os.open(tmp_path, os.O_RDONLY)
    os.mkfifo(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    os.close(exchange.pipe(directory, "real", os.O_RDWR))
    for name in ("link", "file", "none"):
        with pytest.raises(OSError, match=name):
            exchange.pipe(directory, name, os.O_RDWR)
    os.close(directory)


def test_a_command_is_never_written_through_a_link_or_into_a_pipe(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(ResourceExhausted, match=name):
            exchange.write(directory, name, b"x")
    assert (tmp_path / "target").read_text() == "kept"
    exchange.write(directory, "target", b"new")
    assert (tmp_path / "target").read_text() == "new"
    os.close(directory)


# --- turns


def test_turns_are_in_order_and_a_cancelled_one_is_passed_over() -> None:
    async def main() -> None:
        turn, order = Turn(3), []

        async def take(name: str) -> None:
            await turn.take()
            order.append(name)

        await turn.take()
        tasks = [asyncio.create_task(take(name)) for name in "abc"]
        await asyncio.sleep(0)
        with pytest.raises(ResourceExhausted, match="3 commands of this session wait"):
            await turn.take()
        tasks[0].cancel()
        await asyncio.sleep(0)
        assert len(turn) == 2
        turn.give()
        tasks[1].cancel()  # it has just been handed over: it must not be lost
        await asyncio.wait(tasks, timeout=5)
        assert order == ["c"]
        turn.give()
        await turn.take()

    asyncio.run(main())

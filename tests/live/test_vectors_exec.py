# SPDX-License-Identifier: MIT
"""Vectors 131 to 152: exec over HTTP on a running Strata. `user.exec(x)` is exec(x) of the specification."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import visitor
from node import until
from visitor import Visitor

MEBIBYTE = 1_048_576


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """It must not take longer."""
    begun = time.monotonic()
    yield
    took = time.monotonic() - begun
    assert took < seconds, f"it took {took:.1f} s"


def running(user: Visitor, word: str) -> list[str]:
    """Command lines of processes in the session that hold the word, as the machine sees them."""
    return [line for line in visitor.command_lines(user.owner, user.session) if word in line]


def test_131_the_first_exec(user: Visitor) -> None:
    """exec("pwd") first -> 200 output "/root", elapsed like "12ms", no truncated key."""
    answer = user.ask("POST", f"{user.path}/exec", {"command": "pwd"})
    assert answer.status == 200
    assert answer.json["output"] == "/root"
    assert re.fullmatch(r"\d+(\.\d+)?(ms|s)", answer.json["elapsed"])
    assert "truncated" not in answer.json


def test_132_output_without_its_last_newline(user: Visitor) -> None:
    """exec("echo hello_strata_test") -> output "hello_strata_test" (trailing newline trimmed)."""
    assert user.exec("echo hello_strata_test")["output"] == "hello_strata_test"


def test_133_ids_in_headers(user: Visitor) -> None:
    """POST /api/sessions/exec with the two headers -> same; without ids -> 400."""
    body = {"command": "echo hello_strata_test"}
    assert user.ok("POST", "/api/sessions/exec", body, **user.id_headers)["output"] == "hello_strata_test"
    assert user.refused("POST", "/api/sessions/exec", body) == (400, "owner_id and session_id are required")
    assert user.refused("POST", "/api/sessions/exec", body, x_owner_id=user.owner)[0] == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"command": ""}, "command is required"),
        ({}, "command is required"),
        ({"command": "true", "timeout_ms": "5"}, "invalid request body"),
        ({"command": "true", "timeout_ms": 1.5}, "invalid request body"),
    ],
)
def test_134_bodies_that_are_no_command(user: Visitor, body: dict[str, Any], says: str) -> None:
    """Command "" or missing -> 400 `command is required`; timeout_ms "5" or 1.5 -> 400."""
    assert user.refused("POST", f"{user.path}/exec", body) == (400, says)


@pytest.mark.parametrize("timeout", [-1, 0])
def test_134_no_timeout_is_the_usual_one(user: Visitor, timeout: int) -> None:
    """timeout_ms -1 -> default 30 s: it does not end what takes a while."""
    body = {"command": "sleep 0.3; echo done", "timeout_ms": timeout}
    assert user.ok("POST", f"{user.path}/exec", body)["output"] == "done"


def test_135_exec_opens_the_session(user: Visitor) -> None:
    """exec on a new session auto-creates it (stats +1)."""
    before = user.active()
    user.exec("true")
    assert user.active() == before + 1


def test_136_state_persists(user: Visitor) -> None:
    """exec("export A=5; cd /tmp") then exec("echo $A; pwd") -> 5, /tmp (state persists)."""
    user.exec("export A=5; cd /tmp; twice() { echo $1$1; }; set -o noglob; alias hi='echo hello'")
    assert user.out("echo $A; pwd; twice x; echo *") == "5\n/tmp\nxx\n*"


def test_137_lines_end_in_lf(user: Visitor) -> None:
    """exec("echo a; echo b") -> lines a and b (LF)."""
    assert user.out("echo a; echo b") == "a\nb"


def test_138_stderr_is_returned(user: Visitor) -> None:
    """exec("echo e >&2") -> "e" returned (combined output and stderr field)."""
    result = user.exec("echo o; echo e >&2; echo p")
    assert (result["output"], result["stdout"], result["stderr"]) == ("o\ne\np", "o\np\n", "e\n")


@pytest.mark.parametrize(
    ("command", "code"), [("exit 3", 3), ("false", 1), ("nosuchprogram", 127), ("(exit 255)", 255)]
)
def test_139_exit_codes(user: Visitor, command: str, code: int) -> None:
    """exec("exit 3") / ("false") -> exit_code 3 / 1, HTTP 200, session usable next."""
    result = user.exec(command)
    assert (result["exit_code"], result["ended"]) == (code, "exit")
    assert user.out("echo usable") == "usable"


def test_140_a_command_that_takes_too_long(user: Visitor) -> None:
    """exec("sleep 10", timeout_ms 1000) -> answered within 2 s, marked timed out, has elapsed (~1s) and error text
    `command timeout`; process gone; next exec("echo ok") -> exactly "ok"."""
    user.exec("kept=yes")
    with within(2.0):
        result = user.exec("sleep 10.140 & sleep 10.141", 1000)
    assert (result["ended"], result["error"]) == ("timeout", "command timeout")
    assert 900 <= result["elapsed_ms"] < 2000
    assert re.fullmatch(r"(1(\.\d+)?s|9\d\dms)", result["elapsed"])
    assert running(user, "sleep 10.14") == []
    assert user.exec("echo ok")["output"] == "ok"


@pytest.mark.parametrize(
    "command",
    [
        "trap '' TERM INT HUP; sleep 10.142; sleep 10.142",
        "(setsid sh -c 'trap \"\" TERM; sleep 10.142; sleep 10.142')",
        "while :; do :; done",
        "yes > /dev/null",
    ],
)
def test_140_whatever_it_does_against_it(user: Visitor, command: str) -> None:
    """Also one that ignores signals, one in a session of its own, a busy loop of the shell itself."""
    with within(2.5):
        assert user.exec(command, 700)["ended"] == "timeout"
    assert running(user, "sleep 10.142") + running(user, "yes") == []
    assert user.out("echo ok") == "ok"


def test_141_what_it_had_written(user: Visitor) -> None:
    """Loop printing every 0.2 s, timeout 700 -> partial output returned, next exec uncontaminated."""
    result = user.exec("while :; do echo tick; sleep 0.2; done", 700)
    assert result["ended"] == "timeout"
    assert set(result["output"].split("\n")) == {"tick"}
    assert 2 <= len(result["output"].split("\n")) <= 4
    assert user.exec("sleep 0.5; echo clean")["output"] == "clean"


def test_142_a_comment(user: Visitor) -> None:
    """exec("echo hi # c") -> "hi"."""
    with within(1.0):
        assert user.out("echo hi # c") == "hi"


@pytest.mark.parametrize("command", ["echo 'hi", "fi", 'echo "', "if true; then", "echo $(", "{", "cat <<"])
def test_142_bad_syntax(user: Visitor, command: str) -> None:
    """exec("echo 'hi") -> non-zero exit and a syntax error, within 1 s; exec("fi") likewise; session survives."""
    user.exec("kept=yes; cd /tmp")
    with within(1.0):
        result = user.exec(command)
    assert result["exit_code"] != 0
    assert "syntax error" in result["stderr"] or "unexpected EOF" in result["stderr"]
    assert user.out("echo $kept; pwd") == "yes\n/tmp"


def test_143_more_than_one_line(user: Visitor) -> None:
    """Heredoc `cat <<EOF\\nhello\\nEOF` -> "hello"; multi-line "echo a\\necho b" -> "a\\nb", no echoed input."""
    assert user.out("cat <<EOF\nhello\nEOF") == "hello"
    assert user.out("cat <<EOF\nhello\nEOF\n") == "hello"
    assert user.out("echo a\necho b") == "a\nb"
    assert user.out("for i in 1 2\ndo\n  echo $i\ndone\n") == "1\n2"


@pytest.mark.parametrize("command", ["cat", "read line; echo got:$line", "bash -s"])
def test_144_stdin_is_empty(user: Visitor, command: str) -> None:
    """exec("cat") -> returns at once (stdin empty); it does not eat what controls the shell either."""
    with within(1.0):
        result = user.exec(command)
    assert result["output"] in ("", "got:")
    assert user.out("echo next") == "next"


@pytest.mark.parametrize("size", [5000, 200_000])
def test_145_long_commands(user: Visitor, size: int) -> None:
    """5000- and 200 000-byte commands run."""
    command = f"text={'x' * size}; echo ${{#text}}"
    assert user.out(command) == str(size)


def test_146_output_beyond_a_mebibyte(user: Visitor) -> None:
    """1.5 MB output -> 1 048 576 bytes, truncated true."""
    result = user.exec("head -c 1500000 /dev/zero | tr '\\0' a")
    assert (result["output"], result["truncated"]) == ("a" * MEBIBYTE, True)
    assert (result["ended"], result["exit_code"]) == ("exit", 0)


def test_147_the_head_is_kept(user: Visitor) -> None:
    """`seq 1 500000` -> output begins "1\\n2\\n", truncated true."""
    result = user.exec("seq 1 500000")
    whole = "".join(f"{number}\n" for number in range(1, 500_001))
    assert (result["output"], result["truncated"]) == (whole[:MEBIBYTE], True)


@pytest.mark.parametrize(
    "text",
    [
        "__STRATA_EXEC_END_s__",
        "__STRATA_EXEC_END_s__\r\n\r\n",
        "\x1b[31mred\x1b[0m\x07\x1b]0;title\x07",
        "a\0b\0\0c",
        "\r\nleading, and trailing blanks  \t",
        "naïve 日本語 🦊",
    ],
)
def test_148_bytes_are_intact(user: Visitor, text: str) -> None:
    """exec that prints any marker-like text, ESC codes or NUL -> returned intact."""
    octal = "".join(f"\\{byte:03o}" for byte in text.encode())
    result = user.exec(f"printf '{octal}'; printf '{octal}' >&2")
    assert (result["stdout"], result["stderr"]) == (text, text)
    assert result["output"] == (text + text).rstrip("\n")
    assert user.out("echo in step") == "in step"


def test_148_what_is_not_text_is_base64(user: Visitor) -> None:
    """Bytes field for non-UTF-8, beside a text that can be read."""
    result = user.exec("printf 'ok \\377\\376 ok'")
    assert base64.b64decode(result["output_b64"]) == b"ok \xff\xfe ok"
    assert base64.b64decode(result["stdout_b64"]) == b"ok \xff\xfe ok"
    assert result["output"] == "ok \ufffd\ufffd ok"


def test_148_what_reaches_for_the_shells_own_files_finds_nothing_to_say(user: Visitor) -> None:
    """No descriptor of the shell's that a command inherits can be written to, to feign an end or another's output."""
    user.exec(
        "for fd in /proc/self/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && echo 0 >&$n; done; cat /proc/$$/fd/* <&-", 900
    )
    assert user.exec("echo still in step; (exit 7)")["exit_code"] == 7


def test_149_four_at_once(user: Visitor) -> None:
    """4 concurrent execs on one session -> each gets only its own output (queued or parallel)."""
    user.create()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        commands = [f"for i in 1 2 3 4 5; do echo {name}; sleep 0.02; done" for name in "wxyz"]
        outputs = [result["output"] for result in pool.map(user.exec, commands)]
    assert outputs == ["\n".join(name * 5) for name in "wxyz"]


def test_150_background_jobs(user: Visitor) -> None:
    """`sleep 100 & echo started` -> "started" promptly; background job dies with the session."""
    with within(1.0):
        assert user.out("sleep 100.150 & echo started") == "started"
    assert user.out("echo next; jobs -r | wc -l") == "next\n1"
    assert len(running(user, "sleep 100.150")) == 1
    user.close()
    assert running(user, "sleep") == []


def test_150_late_output_of_a_background_job_is_nobodys(user: Visitor) -> None:
    """What it writes later does not appear in another exec's output."""
    user.exec("(sleep 0.2; echo late; touch /tmp/written) & echo started")
    assert user.exec("until [ -e /tmp/written ]; do sleep 0.05; done; echo mine")["output"] == "mine"


def test_151_a_shell_that_is_killed(user: Visitor) -> None:
    """`kill -9 $$` -> error for that exec, next exec works (shell restarted, files in /root kept)."""
    user.exec("echo kept > /root/file; lost=1")
    result = user.exec("echo before; kill -9 $$; echo never")
    assert (result["ended"], result["signal"], result["exit_code"]) == ("signal", "SIGKILL", None)
    assert result["output"] == "before"
    assert user.out('cat /root/file; echo "<$lost>"') == "kept\n<>"


def test_152_a_client_that_hangs_up(user: Visitor) -> None:
    """A disconnected HTTP client never steals later output, and its request's command is cancelled."""
    user.exec("kept=yes")
    body = json.dumps({"command": "echo mine; sleep 30.152; echo more of mine"}).encode()
    head = f"POST {user.path}/exec HTTP/1.1\r\nHost: {user.address}\r\nAuthorization: Bearer {user.token}\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    visitor.hang_up(
        user.address, request, lambda: until(lambda: running(user, "sleep 30.152"), "the command is on its way")
    )
    with within(2.0):
        assert user.exec("echo $kept next")["output"] == "yes next"
    assert running(user, "sleep 30.152") == []


def test_152_a_terminal_that_is_left(user: Visitor) -> None:
    """A disconnected WS client never steals later output; what runs in its terminal goes on."""
    with user.web() as shell:
        # One job, which ^C always reaches: between two commands of a loop of its own, bash is not in the foreground.
        shell.type("sh -c 'while :; do echo noise; sleep 0.05; done'\n")
        shell.until(r"noise\r\nnoise")
    for number in range(5):
        assert user.exec(f"echo {number}; sleep 0.05; echo $(({number} + 1))")["output"] == f"{number}\n{number + 1}"
    with user.web() as shell:
        shell.until(r"noise\r\nnoise")
        shell.type("\x03")
        shell.type("echo back''again\n")
        shell.until("backagain")

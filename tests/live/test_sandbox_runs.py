# SPDX-License-Identifier: MIT
"""Programs in a session: in the foreground over their callers' descriptors, and in the background beyond a restart."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import wire
from inside import Inside
from node import Node, until

MEBIBYTE = 1_048_576


@pytest.fixture(scope="module")
def inside(strata: Node) -> Iterator[Inside]:
    """A session for the tests of this module."""
    found = Inside(strata, "runstest", "one")
    yield found
    found.call("close")


# --- in the foreground


def test_a_run_tells_what_it_wrote_how_it_ended_and_what_it_cost(inside: Inside) -> None:
    said = inside.sh("echo out; echo err >&2; exit 3")
    assert (said["stdout"], said["stderr"]) == ("out\n", "err\n")
    assert sorted(said["output"].split()) == ["err", "out"]
    assert (said["ended"], said["exit_code"]) == ("exit", 3)
    assert said["truncated"] is False
    assert said["elapsed"].endswith("s")
    assert said["memory_peak"] > 0
    assert said["cpu_ms"] > 0


def test_arguments_environment_and_directory_arrive_as_they_are(inside: Inside) -> None:
    said = inside.run("/bin/sh", "-c", 'printf "%s|" "$0" "$@" "$X" "$PWD" "$HOME"', "a b", "", "$HOME", "ü\n",
                      env={"X": "y z"}, cwd="/tmp")  # fmt: skip
    assert said["stdout"] == "a b||$HOME|ü\n|y z|/tmp|/root|"


def test_nothing_of_the_server_is_in_the_environment(inside: Inside) -> None:
    names = {line.partition("=")[0] for line in inside.run("/usr/bin/env")["stdout"].splitlines()}
    assert names <= {"HOME", "USER", "LOGNAME", "SHELL", "TERM", "PATH", "LANG", "PWD", "SHLVL", "_", "LC_ALL"}


def test_runs_share_files_but_no_state(inside: Inside) -> None:
    inside.sh("cd /tmp; export A=5; echo kept >/root/shared")
    assert inside.sh("pwd; echo $A; cat /root/shared")["stdout"] == "/root\n\nkept\n"


def test_standard_input_is_what_was_given_and_then_at_its_end(inside: Inside) -> None:
    assert inside.run("/bin/cat")["stdout"] == ""
    assert inside.run("/bin/cat", stdin="ä\nb")["stdout"] == "ä\nb"
    assert inside.run("/usr/bin/wc", "-c", stdin_b64="AAECAw==")["stdout"].strip() == "4"


def test_a_program_cannot_change_its_inline_input(inside: Inside) -> None:
    assert inside.sh("echo x >/proc/self/fd/0; cat", stdin="given")["stdout"] == "given"


@pytest.mark.parametrize(
    ("argv", "code"), [(["no-such-program"], 127), (["/no/such"], 127), (["/etc"], 126), (["/etc/passwd"], 126)]
)
def test_what_cannot_be_executed_ends_as_in_a_shell_and_says_why(inside: Inside, argv: list[str], code: int) -> None:
    said = inside.run(*argv)
    assert (said["ended"], said["exit_code"]) == ("exit", code)
    assert said["error"]


def test_a_directory_that_is_not_there_is_told(inside: Inside) -> None:
    said = inside.run("/bin/true", cwd="/no/such")
    assert said["exit_code"] == 127
    assert "No such file" in said["error"]


def test_a_signal_is_told_by_its_name(inside: Inside) -> None:
    said = inside.sh("kill -TERM $$")
    assert (said["ended"], said["signal"], said["exit_code"]) == ("signal", "SIGTERM", None)


def test_a_time_out_kills_the_whole_tree(inside: Inside) -> None:
    before = time.monotonic()
    said = inside.sh("(trap '' TERM; exec setsid sleep 86401) & sleep 86402", timeout_ms=300)
    assert (said["ended"], said["error"]) == ("timeout", "command timeout")
    assert 0.3 <= time.monotonic() - before < 3
    assert not [one for one in inside.processes() if "8640" in one]


def test_what_was_written_before_a_time_out_is_told(inside: Inside) -> None:
    assert inside.sh("echo partial; sleep 100", timeout_ms=300)["stdout"] == "partial\n"


def test_a_run_ends_with_its_program_whoever_else_has_its_pipes(inside: Inside) -> None:
    before = time.monotonic()
    said = inside.sh("sleep 86403 & setsid sleep 86403 & echo started")
    assert said["stdout"] == "started\n"
    assert time.monotonic() - before < 3
    assert not [one for one in inside.processes() if "86403" in one]


def test_too_much_memory_is_told_as_such(strata: Node) -> None:
    small = Inside(strata, "runstest", "small")
    small.call("create", limits={"memory_max": "64M"})
    try:
        said = small.sh("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}")
        assert said["ended"] == "oom" or (said["ended"], said["exit_code"]) != ("exit", 0), said
        said = small.run("/usr/bin/tail", "/dev/zero")
        assert said["ended"] == "oom", said
        assert small.sh("echo alive")["output"] == "alive"
    finally:
        small.call("close")


def test_the_beginning_of_too_much_output_is_kept(inside: Inside) -> None:
    said = inside.sh("seq 1 500000")
    assert said["stdout"].startswith("1\n2\n3\n")
    assert said["truncated"] is True
    assert len(said["stdout"]) > 400_000


def test_bytes_that_are_not_text_are_there_as_base64_too(inside: Inside) -> None:
    said = inside.sh(r"printf 'a\377b'")
    assert said["stdout"] == "a�b"
    assert said["stdout_b64"] == "Yf9i"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"argv": []}, "argv is required"),
        ({"argv": ["a\0b"]}, "cannot use a NUL in argv"),
        ({"argv": ["a"], "env": {"A=B": "c"}}, "cannot use 'A=B' as the name of a variable"),
        ({"argv": ["a"], "stdin": "a", "stdin_b64": "YQ=="}, "give stdin or stdin_b64, not both"),
        ({"argv": ["a"], "stdin_b64": "!"}, "stdin_b64 must be base64"),
        ({"argv": ["a"], "stdin_b64": "é"}, "stdin_b64 must be base64"),
        ({"argv": ["a"], "descriptors": ["stdout"]}, "0 descriptors came with the call and 1 are named"),
        ({"argv": "a"}, "missing argv param"),
        ({"argv": ["a"], "timeout_ms": "5"}, "timeout_ms must be a number"),
    ],
)
def test_what_is_no_run_is_refused(inside: Inside, params: dict[str, object], message: str) -> None:
    code, said = inside.refusal("run", **params)
    assert code == 1
    assert said.startswith(message)


# --- over the caller's descriptors


def test_the_callers_own_descriptors_become_the_programs(inside: Inside) -> None:
    """No byte of them passes through the room, so more than it would collect arrives."""
    (in_r, in_w), (out_r, out_w) = os.pipe(), os.pipe()
    feeder = threading.Thread(target=_feed, args=(in_w, 8 * MEBIBYTE))
    with inside.asked("run", [out_w, in_r], argv=["/bin/cat"], descriptors=["stdout", "stdin"]) as connection:
        os.close(out_w)
        os.close(in_r)
        feeder.start()
        with open(out_r, "rb") as out:
            received = out.read()
        said = wire.result(connection.reply())
    feeder.join()
    assert received == bytes(8 * MEBIBYTE)
    assert said["exit_code"] == 0
    assert "stdout" not in said or said["stdout"] == ""


def _feed(fd: int, size: int) -> None:
    with open(fd, "wb") as file:
        file.write(bytes(size))


def test_what_is_not_passed_is_collected(inside: Inside) -> None:
    out_r, out_w = os.pipe()
    said = inside.answer("run", [out_w], argv=["/bin/sh", "-c", "echo a; echo b >&2"], descriptors=["stdout"])
    os.close(out_w)
    with open(out_r) as out:
        assert out.read() == "a\n"
    assert said["stderr"] == "b\n"


def test_a_caller_who_hangs_up_ends_the_run(inside: Inside) -> None:
    with inside.asked("run", argv=["/bin/sleep", "86404"]):
        until(lambda: [one for one in inside.processes() if "86404" in one], "it runs")
    until(lambda: not [one for one in inside.processes() if "86404" in one], "it is gone")


def test_bulk_goes_at_the_speed_of_a_pipe(inside: Inside) -> None:
    """Loosely here: the benchmarks have the figures."""
    out_r, out_w = os.pipe()
    size = 256 * MEBIBYTE
    before = time.monotonic()
    argv = ["/usr/bin/head", "-c", str(size), "/dev/zero"]
    with inside.asked("run", [out_w], argv=argv, descriptors=["stdout"]) as connection:
        os.close(out_w)
        with open(out_r, "rb", buffering=0) as out:
            got = sum(iter(lambda: len(out.read(MEBIBYTE)), 0))
        wire.result(connection.reply())
    assert got == size
    assert size / (time.monotonic() - before) > 100e6


# --- in the background


def test_a_background_run_is_followed_to_its_end(inside: Inside) -> None:
    number = inside.begin("for i in 1 2 3; do echo $i; sleep 0.1; done; echo no >&2; exit 4")
    items = list(inside.stream("output", id=number, follow=True))
    assert "".join(one["data"] for one in items if one.get("stream") == "stdout") == "1\n2\n3\n"
    assert len([one for one in items if one.get("stream") == "stdout"]) >= 2, "it is told as it comes"
    assert (items[-1]["ended"], items[-1]["exit_code"], items[-1]["state"]) == ("exit", 4, "ended")
    assert inside.output(number, "stderr") == "no\n"


def test_output_is_read_again_from_any_offset(inside: Inside) -> None:
    number = inside.begin("printf 0123456789")
    inside.call("wait", id=number)
    assert inside.output(number) == "0123456789"
    assert inside.output(number, offset={"stdout": 7}) == "789"


def test_what_is_not_kept_any_more_is_told_as_lost(inside: Inside) -> None:
    number = inside.begin("seq 1 400000")
    inside.call("wait", id=number)
    size = sum(len(str(one)) + 1 for one in range(1, 400001))
    first = next(iter(inside.stream("output", id=number)))
    assert first["lost"] == first["offset"] == size - MEBIBYTE
    assert inside.output(number).endswith("399999\n400000\n")


def test_no_character_is_cut_in_two(inside: Inside) -> None:
    number = inside.begin(r"printf '\303'; sleep 0.3; printf '\244'; yes 'äöü€' | head -c 700000")
    items = list(inside.stream("output", id=number, follow=True))
    assert not [one for one in items if "data_b64" in one][:-1], "only the very end may be half a character"
    assert items[0]["data"].startswith("ä")


def test_a_run_outlives_the_connection_that_began_it(inside: Inside) -> None:
    number = inside.begin("sleep 0.5; echo done")
    assert inside.call("wait", id=number, wait_ms=0)["state"] == "running"
    assert inside.call("wait", id=number)["exit_code"] == 0
    assert inside.output(number) == "done\n"


def test_a_signal_reaches_the_program_or_all_its_group(inside: Inside) -> None:
    number = inside.begin("trap 'echo got; exit 7' USR1; while :; do sleep 0.05; done")
    until(lambda: inside.call("runs")["runs"], "it is listed")
    until(lambda: _signalled(inside, number), "it has ended by it", 10)
    assert inside.output(number) == "got\n"
    assert inside.call("wait", id=number)["exit_code"] == 7
    assert inside.refusal("signal", id=number, signal="TERM")[0] == 8
    assert inside.refusal("signal", id=number, signal="NOPE")[0] == 1


def _signalled(inside: Inside, number: str) -> bool:
    """Before the trap is set the signal would end it; so look whether sleep runs already."""
    if not [one for one in inside.processes() if "sleep 0.05" in one]:
        return False
    inside.call("signal", id=number, signal="SIGUSR1")
    return inside.call("wait", id=number, wait_ms=5000)["state"] == "ended"


def test_killing_a_run_kills_all_that_it_started(inside: Inside) -> None:
    number = inside.begin("setsid sleep 86405 & setsid sleep 86405 & sleep 86405")
    until(lambda: len([one for one in inside.processes() if one == "sleep 86405"]) == 3, "all three run")
    said = inside.call("kill", id=number)
    assert (said["ended"], said["signal"], said["left"]) == ("signal", "SIGKILL", 0)
    assert not [one for one in inside.processes() if "86405" in one]


def test_what_a_background_run_leaves_behind_goes_on_until_it_is_killed(inside: Inside) -> None:
    number = inside.begin("(sleep 0.5; echo later; sleep 86406) & echo now")
    ended = inside.call("wait", id=number)
    assert (ended["state"], ended["exit_code"]) == ("ended", 0)
    assert ended["left"] > 0
    until(lambda: inside.output(number) == "now\nlater\n", "what it left behind is heard")
    assert inside.call("kill", id=number)["left"] == 0


def test_a_background_run_can_have_a_time_out_and_input(inside: Inside) -> None:
    number = inside.begin("cat; sleep 100", timeout_ms=300, stdin="given")
    said = inside.call("wait", id=number)
    assert said["ended"] == "timeout"
    assert inside.output(number) == "given"


def test_background_output_cannot_be_passed_elsewhere(inside: Inside) -> None:
    with (
        socket.socket() as other,
        inside.asked("run", [other.fileno()], argv=["true"], background=True, descriptors=["stdout"]) as connection,
    ):
        assert wire.error(connection.reply())[0] == 1


def test_a_run_that_is_not_there_is_not_found(inside: Inside) -> None:
    for method, more in (("wait", {}), ("kill", {}), ("output", {}), ("signal", {"signal": "TERM"})):
        assert inside.refusal(method, id="0123", **more)[0] == 4


def test_runs_outlive_a_killed_room(strata: Node, inside: Inside) -> None:
    """What ran goes on, what it wrote meanwhile is heard, how it ended is known, what had ended before still is."""
    over = inside.begin("echo before; exit 5")
    inside.call("wait", id=over)
    running = inside.begin("echo one; while ! [ -e /root/go ]; do sleep 0.05; done; echo two; exit 6")
    short = inside.begin("echo brief; while ! [ -e /root/brief ]; do sleep 0.02; done; exit 9")
    until(lambda: inside.output(short) == "brief\n", "it runs")
    inside.sh("(sleep 0.05; touch /root/brief) &")
    inside.sh("touch /root/brief")  # it ends about when nobody is there to hear of it
    strata.kill("sandbox")
    said = inside.call("wait", id=short)
    assert (said["ended"], said["exit_code"]) == ("exit", 9)
    assert inside.output(running) == "one\n"
    said = inside.call("wait", id=over)
    assert (said["exit_code"], inside.output(over)) == (5, "before\n")
    inside.sh("touch /root/go")
    items = list(inside.stream("output", id=running, follow=True, offset={"stdout": 4}))
    assert items[0]["data"] == "two\n"
    assert items[-1]["exit_code"] == 6
    assert inside.sh("true")["exit_code"] == 0


def test_a_run_that_went_on_over_a_restart_can_be_killed(strata: Node, inside: Inside) -> None:
    number = inside.begin("setsid sleep 86407 & sleep 86407")
    strata.kill("sandbox")
    assert inside.call("kill", id=number)["left"] == 0
    assert inside.call("wait", id=number)["signal"] == signal.SIGKILL.name
    assert not [one for one in inside.processes() if "86407" in one]


def test_only_the_newest_ended_runs_are_kept_and_nothing_of_the_others(strata: Node) -> None:
    many = Inside(strata, "runstest", "many")
    many.call("create")
    try:
        many.call("wait", id=many.begin("true"))
        numbers = []
        for _ in range(40):
            numbers.append(many.begin("true"))
            many.call("wait", id=numbers[-1])
        until(lambda: len(many.call("runs")["runs"]) == 32, "the oldest are forgotten")
        assert [one["id"] for one in many.call("runs")["runs"]] == numbers[-32:]
    finally:
        many.call("close")


def test_a_flood_of_output_leaves_the_room_answering(inside: Inside) -> None:
    numbers = [inside.begin("exec yes") for _ in range(8)]
    try:
        with inside.asked("run", argv=["/usr/bin/yes"]):
            until(lambda: inside.call("runs")["runs"][-1]["stdout"]["end"] > MEBIBYTE, "it floods")
            before = time.monotonic()
            for _ in range(20):
                inside.call("stats")
            assert time.monotonic() - before < 2
    finally:
        for number in numbers:
            inside.call("kill", id=number)


def test_background_runs_of_a_session_are_bounded(strata: Node) -> None:
    many = Inside(strata, "runstest", "bounded")
    many.call("create")
    try:
        for _ in range(64):
            many.begin("exec sleep 86409")
        code, said = many.refusal("run", argv=["true"], background=True)
        assert (code, said[:22]) == (7, "cannot start more: 64 ")
        assert many.run("true")["exit_code"] == 0
    finally:
        many.call("close")


def test_the_caller_may_choose_the_id_of_a_run_once(inside: Inside) -> None:
    assert inside.begin("true", id="0123456789abcdef") == "0123456789abcdef"
    assert inside.refusal("run", argv=["true"], background=True, id="0123456789abcdef")[0] == 8
    assert inside.refusal("run", argv=["true"], id="../x")[0] == 1


def test_closing_a_session_lets_go_of_all_its_descriptors(strata: Node) -> None:
    """What they are, not their numbers: another test's may come and go."""

    def held() -> list[str]:
        return [one for one in strata.descriptors("sandbox") if "strata-out" in one or "strata-err" in one]

    before = len(held())
    closed = Inside(strata, "runstest", "closed")
    for _ in range(3):
        closed.begin("sleep 86408")
    closed.call("wait", id=closed.begin("true"))
    assert len(held()) == before + 8
    closed.call("close")
    assert len(held()) == before


def test_a_run_that_begins_while_its_session_ends_leaves_nothing(strata: Node) -> None:
    """Nobody would ask for it: its rings and pipes are let go of, also where systemd keeps them."""
    before = None
    for number in range(25):
        one = Inside(strata, "runtest", "brief")
        one.call("create")
        with one.asked("run", argv=["/bin/sleep", "100"], background=True) as run, one.asked("close") as close:
            close.reply()
            run.reply()
        one.call("create")  # the run may have come after the end, and opened another session
        one.call("close")
        if number == 3:  # by then all that is opened once and kept is there
            before = len(strata.descriptors("sandbox"))
    until(lambda: len(strata.descriptors("sandbox")) <= (before or 0), "no descriptor is left")

# SPDX-License-Identifier: MIT
"""Terminals of a session: real ones, that can be left and rejoined, shared, resized, and that outlive the room."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator

import pytest
import wire
from inside import Inside
from node import Node, until

SCROLL_BACK = 262_144


@pytest.fixture(scope="module")
def session(strata: Node) -> Iterator[Inside]:
    found = Inside(strata, "termtest", "one")
    yield found
    found.call("close")


@pytest.fixture
def inside(session: Inside) -> Iterator[Inside]:
    """A session without terminals, before and after."""
    yield session
    for one in session.call("terminals")["terminals"]:
        session.call("hangup", terminal=one["terminal"])


def test_a_shell_with_prompt_and_standard_error_as_in_any_terminal(inside: Inside) -> None:
    """Vectors 164 and 167."""
    with inside.attach() as screen:
        assert screen.attached["terminal"] == "main"
        screen.until(r"root@strata:~# ")
        screen.type("echo WSTEST_MARKER; echo oops >&2\n")
        screen.until(r"\sWSTEST_MARKER\r\noops\r\n.*# ")


def test_it_is_a_terminal_of_its_own_inside(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("tty; [ -t 0 ] && [ -t 2 ] && echo is-$((1+1)); ps -o pid= -t $(tty) >/dev/null && echo jo''bs\n")
        screen.until(r"/dev/pts/\d+\r\n.*is-2\r\n.*jobs")


def test_lines_are_edited(inside: Inside) -> None:
    """Readline: an arrow key brings the last line back."""
    with inside.attach() as screen:
        screen.type("echo first-$((40+2))\n")
        screen.until(r"first-42\r\n.*# ")
        screen.type("\x1b[A\x1b[Dx\n".replace("\x1b[Dx", ""))
        screen.until(r"first-42\r\n.*first-42\r\n")


def test_keys_that_interrupt_do(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("sleep 86500; echo not-$((1+1))\n")
        until(lambda: "sleep 86500" in inside.processes(), "it sleeps")
        screen.type("\x03")
        screen.type("echo after-$((1+1))\n")
        screen.until(r"after-2\r\n")
        assert "not-2" not in screen.text


def test_the_size_is_that_of_the_window(inside: Inside) -> None:
    with inside.attach(rows=33, cols=99) as screen:
        assert (screen.attached["rows"], screen.attached["cols"]) == (33, 99)
        screen.type("stty size\n")
        screen.until(r"\s33 99\r\n")
        assert inside.call("resize", terminal="main", rows=40, cols=120)["rows"] == 40
        screen.type("stty size\n")
        screen.until(r"\s40 120\r\n")  # vector 165


def test_a_program_hears_of_another_size(inside: Inside) -> None:
    with inside.attach(rows=24, cols=80) as screen:
        screen.type("trap 'echo now-$(stty size)' WINCH\n")
        screen.until("# .*# ")
        inside.call("resize", rows=10, cols=20)
        screen.type("\n")
        screen.until(r"now-10 20")


def test_a_size_that_a_program_undoes_while_it_is_changed_is_set_again(inside: Inside) -> None:
    """As readline may, which sets before each prompt the size that it has read."""
    undo = (
        "import fcntl as f, termios as t; size = lambda: f.ioctl(0, t.TIOCGWINSZ, bytes(8)); old = size(); "
        "print(chr(33) * 9, flush=True)\nwhile size() == old: pass\n"
        "f.ioctl(0, t.TIOCSWINSZ, old); print(chr(35) * 9, flush=True)"
    )
    with inside.attach(rows=24, cols=80) as screen:
        inside.call("put", path="undo.py", data=undo)
        screen.type("python3 undo.py\n")
        screen.until("!" * 9)
        assert inside.call("resize", rows=30, cols=70)["rows"] == 30
        screen.until("#" * 9)
        until(lambda: inside.call("terminals")["terminals"][0]["rows"] == 30, "it is set again")


@pytest.mark.parametrize("size", [{"rows": 0, "cols": 80}, {"rows": 24, "cols": 65536}, {"rows": -1, "cols": 1}])
def test_a_size_that_no_window_has_is_refused(inside: Inside, size: dict[str, int]) -> None:
    with inside.attach():
        assert inside.refusal("resize", **size)[0] == 1


def test_everybody_who_looks_sees_the_same_and_may_type(inside: Inside) -> None:
    with inside.attach() as one, inside.attach() as two:
        assert two.attached["viewers"] == 2
        one.type("echo from-one-$((1+1))\n")
        for screen in (one, two):
            screen.until(r"from-one-2\r\n")
        two.type("echo from-two-$((1+1))\n")
        for screen in (one, two):
            screen.until(r"from-two-2\r\n")


def test_the_terminal_fits_into_every_window(inside: Inside) -> None:
    """As high as the lowest, as wide as the narrowest; when that one leaves it grows again."""
    with inside.attach(rows=50, cols=80) as one:
        with inside.attach(rows=20, cols=100) as two:
            assert (two.attached["rows"], two.attached["cols"]) == (20, 80)
            inside.call("resize", rows=30, cols=70, viewer=two.attached["viewer"])
            one.type("stty size\n")
            one.until(r"\s30 70\r\n")
        until(lambda: inside.call("terminals")["terminals"][0]["rows"] == 50, "it has grown")


def test_leaving_ends_nothing_and_rejoining_shows_what_was_there(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("X=kept; echo seen-$((1+1)); (sleep 0.3; echo mean''while) &\n")
        screen.until(r"seen-2\r\n")
    until(lambda: inside.call("terminals")["terminals"][0]["viewers"] == 0, "nobody looks")
    with inside.attach() as again:
        again.until(r"seen-2\r\n.*meanwhile")
        again.type("echo $X-$((1+1))\n")
        again.until(r"kept-2\r\n")


def test_rejoining_at_an_offset_shows_just_what_was_missed(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("PS1=; stty -echo; echo first-$((1+1))\n")
        screen.until(r"first-2\r\n")
        seen = screen.attached["offset"] + len(screen.seen)
        screen.type("sleep 0.2; echo second-$((1+1))\n")
    with inside.attach(offset=seen) as again:
        again.until(r"second-2\r\n")
        assert again.attached["offset"] == seen
        assert "first" not in again.text


def test_what_was_typed_before_leaving_is_typed(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("cd; PS1=; stty -echo; : >typed; echo ready-$((1+1))\n")
        screen.until(r"ready-2\r\n")
    for number in range(50):
        with inside.attach() as screen:
            screen.type(f"echo {number} | tee -a typed\n")
    lines = [str(number) for number in range(50)]
    until(lambda: inside.sh("cat /root/typed")["stdout"].split() == lines, "each line was typed, in order")


def test_scroll_back_is_bounded_and_begins_between_characters(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("stty -echo; PS1=; for i in $(seq 4000); do printf '\\033[1;32mäöü€漢字%04d\\033[0m' $i; "
                    "printf '\\033]0;title\\007 and some more of it to fill it\\n'; done; echo do''ne\n")  # fmt: skip
        screen.until("done\r\n")
    with inside.attach(offset=0) as again:
        again.until("done\r\n")
        assert SCROLL_BACK * 0.8 < len(again.seen) <= SCROLL_BACK
        assert again.attached["lost"] == again.attached["offset"]
        again.seen.decode()
        assert not again.text.startswith(("1;32m", "0;title", "[", "2m", "m"))


def test_the_exit_code_is_told_to_everybody_who_looks(inside: Inside) -> None:
    with inside.attach(terminal="other") as one, inside.attach(terminal="other") as two:
        one.type("echo bye-$((1+1)); exit 7\n")
        for screen in (one, two):
            assert screen.event() == {"ended": "exit", "exit_code": 7}
            screen.rest()
            assert "bye-2" in screen.text
    assert inside.call("terminals")["terminals"] == []
    with inside.attach(terminal="other") as again:
        again.until("# ")
        assert "bye-2" not in again.text, "it is a new one"


def test_the_end_of_a_terminal_ends_all_that_ran_in_it(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("nohup setsid sleep 86501 & disown; exit\n")
        screen.rest()
        assert screen.event()["ended"] == "exit"
    until(lambda: not [one for one in inside.processes() if "86501" in one], "nothing is left")


def test_hanging_up_ends_it(inside: Inside) -> None:
    with inside.attach() as screen:
        screen.type("trap '' HUP; echo rea''dy; sleep 86502\n")
        screen.until("ready")
        assert inside.call("hangup", terminal="main")["status"] == "ended"
        assert screen.event()["ended"] == "hangup"
    assert not [one for one in inside.processes() if "86502" in one]
    assert inside.refusal("hangup", terminal="main")[0] == 4


def test_a_command_runs_instead_of_the_shell(inside: Inside) -> None:
    with inside.attach(terminal="job", command="echo $((40+2)); exit 5") as screen:
        assert screen.event() == {"ended": "exit", "exit_code": 5}
        screen.rest()
        assert screen.text == "42\r\n"
    with inside.attach() as screen:
        screen.until("# ")
        with pytest.raises(AssertionError, match="it was refused"):
            inside.attach(command="true").__enter__()


def test_one_who_does_not_read_neither_stops_the_shell_nor_the_others(inside: Inside) -> None:
    with inside.attach() as stuck, inside.attach() as fast:
        fast.type("PS1=; stty -echo; seq 1 400000 | sed 's/$/ x/'; echo en''d\n")
        fast.until(r"\n400000 x\r\nend\r\n")
        assert stuck.event()["ended"] == "slow"


def test_one_who_looks_alone_slows_the_shell_to_his_pace(inside: Inside) -> None:
    """Nothing of it is lost to him, however much there is."""
    with inside.attach() as screen:
        screen.type("PS1=; stty -echo; echo sta''rt; seq 1 200000; echo en''d\n")
        screen.until("start\r\n")
        time.sleep(0.3)  # he does something else meanwhile
        screen.until(r"\n200000\r\nend\r\n")
        numbers = screen.text.partition("start\r\n")[2].split("\r\n")
        assert numbers[:200_000] == [str(number) for number in range(1, 200_001)]


def test_much_input_arrives_whole(inside: Inside) -> None:
    data = bytes(range(256)) * 4000
    with inside.attach() as screen:
        screen.type(f"stty raw -echo; echo rea''dy; head -c {len(data)} | md5sum; stty -raw echo\n")
        screen.until("ready")
        screen.sock.sendall(data)
        screen.until(hashlib.md5(data).hexdigest())


def test_terminals_are_bounded_and_named_as_ids_are(inside: Inside) -> None:
    for name in ("a/b", "..", "", "x" * 65):
        with pytest.raises(AssertionError):
            inside.attach(terminal=name).__enter__()
    screens = [inside.attach(terminal=f"t{number}").__enter__() for number in range(16)]
    try:
        with pytest.raises(AssertionError, match="16 are open"):
            inside.attach(terminal="t17").__enter__()
    finally:
        for screen in screens:
            screen.__exit__(None, None, None)


def test_viewers_of_a_terminal_are_bounded(inside: Inside) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(32):
            stack.enter_context(inside.attach())
        with pytest.raises(AssertionError, match="32 look at terminal main already"):
            stack.enter_context(inside.attach())


def test_one_who_looks_alone_and_reads_nothing_is_dropped_in_the_end(inside: Inside) -> None:
    """He stops the shell, as any terminal does; but not for ever."""
    with inside.attach() as screen:
        screen.until("# ")
        screen.type("seq 1 300000 >/dev/tty; touch /root/through\n")
        assert screen.event()["ended"] == "slow"
    until(lambda: inside.sh("rm /root/through")["exit_code"] == 0, "the shell goes on")


@pytest.mark.parametrize("count", [0, 2])
def test_it_takes_one_descriptor(inside: Inside, count: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, inside.asked("attach", [theirs.fileno()] * count) as connection:
        assert wire.error(connection.reply())[0] == 1


def test_a_descriptor_that_is_no_socket_is_refused(inside: Inside) -> None:
    with open(os.devnull) as other, inside.asked("attach", [other.fileno()]) as connection:
        assert wire.error(connection.reply())[0] == 1


def test_who_looks_keeps_the_session(strata: Node) -> None:
    short = Inside(strata, "termtest", "short")
    short.call("create", ttl="1s")
    with short.attach() as screen:
        screen.until("# ")
        time.sleep(2.0)  # twice as long as an idle session may
        screen.type("echo alive-$((1+1))\n")
        screen.until("alive-2")
        screen.type("exit\n")
        screen.rest()
    listed = {"owner": short.owner}
    until(lambda: all(one["session"] != "short" for one in strata.call("sandbox.list", listed)["sessions"]), "it goes")


def test_closing_the_session_is_told_to_who_looks(strata: Node) -> None:
    closed = Inside(strata, "termtest", "closed")
    with closed.attach() as screen:
        screen.until("# ")
        closed.call("close")
        assert screen.event()["ended"] == "closed"


def test_the_shell_never_notices_that_the_room_was_killed(strata: Node, inside: Inside) -> None:
    """What it wrote before and meanwhile is there, at the same offsets."""
    with inside.attach(rows=31, cols=91) as screen:
        screen.type("X=kept; echo before-$((1+1)); (sleep 0.5; echo mean''while) &\n")
        screen.until(r"before-2\r\n")
        seen = screen.attached["offset"] + len(screen.seen)
        strata.kill("sandbox")
    with inside.attach(offset=seen) as again:
        assert again.attached["lost"] == 0
        again.until("meanwhile")
        again.type("echo $X-$((1+1))-$(stty size)\n")
        again.until(r"kept-2-31 91\r\n")
        again.type("exit 9\n")
        assert again.event() == {"ended": "exit", "exit_code": 9}


def test_a_shell_that_ended_while_the_room_was_down_is_gone_afterwards(strata: Node, inside: Inside) -> None:
    with inside.attach(command="while ! [ -e /root/end ]; do sleep 0.02; done; sleep 0.1; exit 3"):
        until(lambda: inside.call("terminals")["terminals"], "it is there")
        inside.sh("touch /root/end")
        strata.kill("sandbox")
    until(lambda: not inside.call("terminals")["terminals"], "its end has been heard")
    inside.sh("rm /root/end")


def test_what_is_no_stream_socket_is_refused_and_let_go_of(inside: Inside) -> None:
    """However often: a pipe, a file, a datagram socket."""
    inside.call("exec", command="true")
    before = None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams, open(os.devnull) as file:
        reader, writer = os.pipe()
        try:
            for number in range(30):
                for passed in (reader, file.fileno(), datagrams.fileno()):
                    with inside.asked("attach", [passed]) as connection:
                        assert "an end of a stream socket pair" in connection.reply()["error"]["message"]
                if number == 3:  # by then all that is opened once and kept is there
                    before = len(inside.strata.descriptors("sandbox"))
        finally:
            os.close(reader)
            os.close(writer)
    until(lambda: len(inside.strata.descriptors("sandbox")) <= (before or 0), "no descriptor is left")

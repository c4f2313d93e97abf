# SPDX-License-Identifier: MIT
"""strata-ctl with sandboxes, typed at a running Strata: commands, files, sessions, and a real pseudo-terminal."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nobody
import pytest
from devices import needs_loop
from inside import Inside
from node import CTL, Node, until
from typist import Typist, typing

OWNER = "clitest"
PLACE = f"{OWNER}/one"
MEBIBYTE = 1_048_576


@pytest.fixture(scope="module")
def inside(strata: Node) -> Iterator[Inside]:
    """A session for the tests of this module."""
    found = Inside(strata, OWNER, "one")
    found.call("create")
    yield found
    found.call("close")


def ctl(strata: Node, *arguments: str, input: bytes = b"", **more: Any) -> subprocess.CompletedProcess[bytes]:
    """strata-ctl with bytes in and out."""
    return subprocess.run(
        [CTL, *arguments], cwd="/", env=strata.environment, input=input, capture_output=True, check=False, **more
    )


def begun(strata: Node, *arguments: str) -> subprocess.Popen[bytes]:
    """strata-ctl that is not waited for; its output is a pipe."""
    return subprocess.Popen(
        [CTL, *arguments], cwd="/", env=strata.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )


def shell(strata: Node, *more: str) -> Any:
    """`strata-ctl shell` with somebody at a terminal."""
    return typing([CTL, "shell", PLACE, *more], strata.environment)


# --- run


def test_run_passes_its_own_streams(strata: Node, inside: Inside) -> None:
    """Every byte as it is, standard error apart."""
    data = bytes(range(256)) * 1000
    said = ctl(strata, "run", PLACE, "--", "sh", "-c", "cat; echo aside >&2", input=data)
    assert (said.returncode, said.stdout == data, said.stderr) == (0, True, b"aside\n")


def test_run_without_a_name_is_in_the_default_session_of_the_user(strata: Node) -> None:
    """`strata-ctl run -- true`, as the simplest thing to type; the session is opened for it."""
    assert ctl(strata, "run", "--", "hostname").stdout == b"strata\n"
    assert "root/default" in ctl(strata, "sandbox", "ls", "-q").stdout.decode().split()
    assert ctl(strata, "sandbox", "rm", "default").returncode == 0


def test_run_gives_environment_and_directory(strata: Node, inside: Inside) -> None:
    """Words arrive as typed."""
    said = ctl(strata, "run", "-e", "A=x y", "-w", "/tmp", PLACE, "--", "sh", "-c", 'echo "$A|$1|"; pwd', "sh", "a  b")
    assert said.stdout == b"x y|a  b|\n/tmp\n"


@pytest.mark.parametrize(
    ("options", "argv", "code"),
    [
        ((), ("true",), 0),
        ((), ("sh", "-c", "exit 3"), 3),
        ((), ("sh", "-c", "kill -TERM $$"), 143),
        ((), ("no-such-program",), 127),
        ((), ("/etc",), 126),
        (("--timeout", "200ms"), ("sleep", "60"), 124),
        (("-w", "/no/such"), ("true",), 127),
        (("-e", "NOT_SET_HERE"), ("true",), 125),
    ],
)
def test_the_exit_code_is_the_commands(
    strata: Node, inside: Inside, options: Sequence[str], argv: Sequence[str], code: int
) -> None:
    """And those of timeout(1), sh(1) and env(1) for what is not the command's."""
    assert ctl(strata, "run", *options, PLACE, "--", *argv).returncode == code


@pytest.mark.parametrize(
    ("number", "script", "code", "last"),
    [
        (signal.SIGTERM, 'trap "echo got; exit 9" TERM; echo ready; sleep 60 & wait', 9, b"got\n"),
        (signal.SIGINT, "echo ready; exec sleep 60", 130, b""),
        (signal.SIGHUP, "echo ready; exec sleep 60", 129, b""),
        (signal.SIGUSR1, 'trap "echo one; exit 8" USR1; echo ready; sleep 60 & wait', 8, b"one\n"),
    ],
)
def test_signals_are_passed_on(
    strata: Node, inside: Inside, number: signal.Signals, script: str, code: int, last: bytes
) -> None:
    """The command decides what becomes of it, and strata-ctl ends as it does."""
    with begun(strata, "run", PLACE, "--", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        # "ready" tells of the shell, and exec'ing sleep takes a moment more.
        until(lambda: _signalled(process, number), "it ends by the signal")
        assert (process.stdout.read(), process.returncode) == (last, code)


def _signalled(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    process.send_signal(number)
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_a_command_does_not_outlive_strata_ctl(strata: Node, inside: Inside) -> None:
    """Killed, it cannot pass anything on: the connection is what the command lives by."""
    with begun(strata, "run", PLACE, "--", "sh", "-c", "echo ready; sleep 4711") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    until(lambda: "4711" not in inside.sh("ps ax -o args || true")["stdout"].replace("ps ax", ""), "sleep has ended")


def test_a_run_in_the_background_is_listed_followed_and_ended(strata: Node, inside: Inside) -> None:
    """`-d` prints its id, which the group `sandbox` takes."""
    number = ctl(strata, "run", "-d", PLACE, "--", "sh", "-c", "echo a; echo b >&2; exit 4").stdout.decode().strip()
    followed = ctl(strata, "sandbox", "output", "-f", PLACE, number)
    assert (followed.stdout, followed.stderr, followed.returncode) == (b"a\n", b"b\n", 4)
    assert ctl(strata, "sandbox", "wait", PLACE, number).returncode == 4
    other = ctl(strata, "run", "-d", PLACE, "--", "sleep", "60").stdout.decode().strip()
    assert other in ctl(strata, "sandbox", "runs", PLACE).stdout.decode()
    assert ctl(strata, "sandbox", "kill", "-s", "term", PLACE, other).returncode == 0
    assert ctl(strata, "sandbox", "wait", PLACE, other).returncode == 143


# --- exec


def test_exec_remembers(strata: Node, inside: Inside) -> None:
    """Directory and variables, from one strata-ctl to the next."""
    assert ctl(strata, "exec", PLACE, "--", "cd /tmp; X=5").returncode == 0
    said = ctl(strata, "exec", PLACE, "--", "pwd; echo $X; echo aside >&2; false")
    assert (said.stdout, said.stderr, said.returncode) == (b"/tmp\n5\n", b"aside\n", 1)


def test_exec_passes_words_and_input_as_they_are(strata: Node, inside: Inside) -> None:
    """Several words are quoted for the shell; input is given only when asked for."""
    assert ctl(strata, "exec", PLACE, "--", "printf", "%s|", "a  b", "$HOME", "it's").stdout == b"a  b|$HOME|it's|"
    assert ctl(strata, "exec", PLACE, "--", "cat", input=b"not read").stdout == b""
    assert ctl(strata, "exec", "-i", PLACE, "--", "cat", input=b"read\xff").stdout == b"read\xff"


def test_exec_whose_time_is_up_says_so(strata: Node, inside: Inside) -> None:
    """Exit code 124, as of timeout(1)."""
    said = ctl(strata, "exec", "--timeout", "300ms", PLACE, "--", "echo before; sleep 60")
    assert (said.returncode, said.stdout) == (124, b"before\n")
    assert b"its time was up" in said.stderr


# --- shell


def test_a_terminal_has_a_prompt_a_size_and_an_exit_code(strata: Node, inside: Inside) -> None:
    """As any shell's; the window may be pulled while it is open."""
    with shell(strata, "--terminal", "sized") as typist:
        typist.read_until("[$#] ")
        typist.type("stty size\r")
        typist.read_until("24 80")
        typist.size(40, 120)
        until(lambda: _asked_size(typist), "the terminal inside has the new size")
        typist.type("exit 7\r")
        assert typist.end() == 7


def _asked_size(typist: Typist) -> bool:
    typist.type("stty size\r")
    return typist.read_until("(24 80|40 120)").group(1) == b"40 120"


def test_a_terminal_is_left_and_joined_again(strata: Node, inside: Inside) -> None:
    """What was shown is shown again, what was set is still set; the detach key is not typed into it."""
    with shell(strata) as typist:
        typist.read_until("[$#] ")
        typist.type("export X=77; echo ü$X\r")
        typist.read_until("ü77")
        typist.type(b"echo not typed\x1d")
        assert typist.end() == 0
        assert b"which goes on" in typist.shown
    with shell(strata, "--detach-key", "ctrl-p") as typist:
        typist.read_until("ü77")
        typist.type("\x15echo again $X\r")  # Ctrl-U: what stands in the line is taken back
        typist.read_until("again 77")
        typist.type("\x10")
        assert typist.end() == 0
    with shell(strata) as typist:
        typist.read_until("again 77")
        typist.type("exit\r")
        assert typist.end() == 0


def test_two_look_at_one_terminal(strata: Node, inside: Inside) -> None:
    """Both see what either types."""
    with shell(strata, "--terminal", "shared") as first, shell(strata, "--terminal", "shared") as second:
        first.read_until("[$#] ")
        second.read_until("[$#] ")
        first.type("echo from $((1+1))\r")
        second.read_until("from 2")
        second.type("exit\r")
        assert (first.end(), second.end()) == (0, 0)


def test_a_terminal_outlives_a_restart_of_the_service(disturbed: Node, inside: Inside) -> None:
    """Who looks at it sees it go on, without doing anything."""
    with shell(disturbed, "--terminal", "lasting") as typist:
        typist.read_until("[$#] ")
        typist.type("X=still; echo here $((40+2))\r")
        typist.read_until("here 42")
        assert disturbed.ctl("restart", "sandbox").returncode == 0
        until(lambda: _answers(typist), "the terminal goes on", 30)
        typist.type("exit 5\r")
        assert typist.end() == 5


def _answers(typist: Typist) -> bool:
    typist.type("\x15echo $X there\r")
    try:
        typist.read_until("still there", 2)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_our_own_terminal_is_restored_whatever_ends_it(strata: Node, inside: Inside, number: signal.Signals) -> None:
    """Echo, line editing, the cursor, the other screen: as they were. The exit code is the signal's."""
    with shell(strata, "--terminal", "spoilt") as typist:
        before = typist.modes()
        typist.read_until("[$#] ")
        assert typist.modes() != before
        typist.type(r"printf '\033[?1049h\033[?25lspo''ilt'" + "\r")
        typist.read_until("spoilt")
        os.kill(typist.pid, number)
        assert typist.end() == 128 + number
        assert typist.modes() == before
        assert b"\x1b[?1049l\x1b[?25h" in typist.shown
    strata.ctl("sandbox", "hangup", PLACE, "spoilt")


def test_the_end_of_the_session_is_the_end_of_the_terminal(strata: Node) -> None:
    """It is told, and it is no success."""
    place = f"{OWNER}/short"
    with typing([CTL, "shell", place], strata.environment) as typist:
        typist.read_until("[$#] ")
        assert strata.ctl("sandbox", "rm", place).returncode == 0
        assert typist.end() in (125, 129, 137)


def test_a_shell_needs_a_terminal(strata: Node) -> None:
    """Without one it says what works."""
    said = strata.ctl("shell", PLACE)
    assert (said.returncode, said.stdout) == (1, "")
    assert "cannot open a terminal: this is none; `strata-ctl run` and `exec` work without" in said.stderr


# --- cp


def test_a_file_goes_in_and_comes_back(strata: Node, inside: Inside, tmp_path: Path) -> None:
    """Whole and with its mode; into a directory it goes by its name."""
    here, back = tmp_path / "big", tmp_path / "back"
    here.write_bytes(os.urandom(3 * MEBIBYTE + 17))
    here.chmod(0o751)
    assert ctl(strata, "cp", str(here), f"{PLACE}:").returncode == 0
    assert ctl(strata, "cp", f"{PLACE}:big", str(back)).returncode == 0
    assert back.read_bytes() == here.read_bytes()
    assert stat.S_IMODE(back.stat().st_mode) & 0o700 == 0o700
    assert inside.sh("stat -c %a /root/big")["stdout"] == "751\n"
    into = tmp_path / "into"
    into.mkdir()
    assert ctl(strata, "cp", f"{PLACE}:/root/big", str(into)).returncode == 0
    assert (into / "big").stat().st_size == here.stat().st_size


def test_standard_input_and_output_are_files_too(strata: Node, inside: Inside) -> None:
    """`-` on either side."""
    assert ctl(strata, "cp", "-", f"{PLACE}:/tmp/piped", input=b"x\0y\n" * 1000).returncode == 0
    assert ctl(strata, "cp", f"{PLACE}:/tmp/piped", "-").stdout == b"x\0y\n" * 1000


def test_a_directory_goes_in_and_comes_back(strata: Node, inside: Inside, tmp_path: Path) -> None:
    """Files, links, modes; onto what is there already it is not unpacked."""
    tree = tmp_path / "tree"
    (tree / "deep/er").mkdir(parents=True)
    (tree / "deep/er/f").write_text("content")
    (tree / "run.sh").write_text("#!/bin/sh\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "deep/link").symlink_to("er/f")
    assert ctl(strata, "cp", str(tree), f"{PLACE}:").returncode == 0
    assert inside.sh("cat tree/deep/link; stat -c '%u %a' tree/run.sh")["stdout"] == "content0 755\n"
    back = tmp_path / "back"
    assert ctl(strata, "cp", f"{PLACE}:tree", str(back)).returncode == 0
    assert (back / "deep/er/f").read_text() == "content"
    assert os.readlink(back / "deep/link") == "er/f"
    assert stat.S_IMODE((back / "run.sh").stat().st_mode) & 0o700 == 0o700
    said = ctl(strata, "cp", f"{PLACE}:tree/deep", str(tree / "run.sh"))
    assert (said.returncode, b"it is there already" in said.stderr) == (1, True)


def test_a_directory_from_a_session_cannot_reach_out(strata: Node, inside: Inside, tmp_path: Path) -> None:
    """A link that leads out is left out and named; what it names is not touched."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    inside.sh(f"mkdir -p evil; ln -sfn {victim} evil/out; ln -sfn ../../../x evil/up; mkfifo evil/p; echo ok >evil/f")
    said = ctl(strata, "cp", f"{PLACE}:evil", str(tmp_path / "evil"))
    assert said.returncode == 1
    assert b"left out" in said.stderr
    assert victim.read_text() == "mine"
    assert sorted(os.listdir(tmp_path / "evil")) == ["f"]


def test_a_copy_that_fails_leaves_nothing(strata: Node, inside: Inside, tmp_path: Path) -> None:
    """Neither here nor there, and the reason is told."""
    target = tmp_path / "target"
    target.write_text("old")
    said = ctl(strata, "cp", f"{PLACE}:/no/such", str(target))
    assert (said.returncode, target.read_text(), os.listdir(tmp_path)) == (1, "old", ["target"])
    assert b"/no/such" in said.stderr
    said = ctl(strata, "cp", str(target), f"{PLACE}:/usr/x")
    assert said.returncode == 1
    assert said.stderr.startswith(b"error: cannot put /usr/x: ")


def test_progress_is_shown_to_a_person(strata: Node, inside: Inside, tmp_path: Path) -> None:
    """On a terminal, for what takes a while: here the other end of a pipe that is slow."""
    fifo = tmp_path / "slow"
    os.mkfifo(fifo)
    with typing([CTL, "cp", str(fifo), f"{PLACE}:slow"], strata.environment) as typist:
        with open(fifo, "wb") as pipe:
            pipe.write(b"x")
            pipe.flush()
            typist.read_until("slow  .*/s")
        assert typist.end() == 0
    assert inside.sh("wc -c <slow")["stdout"] == "1\n"


# --- sessions


@needs_loop
def test_a_session_is_made_listed_described_and_closed(strata: Node) -> None:
    """With labels and limits; twice the same is no mistake."""
    place = f"{OWNER}/made"
    first = strata.ctl(
        "sandbox", "create", place, "-l", "job=7", "--limit", "memory_max=256M", "--ttl", "10m", "-e", "A=1"
    )
    assert (first.returncode, first.stdout, first.stderr) == (0, f"{place}\n", "")
    again = strata.ctl("sandbox", "create", place)
    assert (again.returncode, again.stderr) == (0, "it was open already, and stays as it is\n")
    listed = strata.ctl("sandbox", "ls", "-l", "job=7", "-q").stdout
    assert listed == f"{place}\n"
    table = strata.ctl("sandbox", "ls", "--owner", OWNER).stdout.splitlines()
    assert table[0].split()[:4] == ["SESSION", "STATE", "AGE", "IDLE"]
    assert any(line.startswith(place) and line.endswith("job=7") for line in table)
    described = json.loads(strata.ctl("sandbox", "describe", place, "--json").stdout)
    assert (described["limits"]["memory_max"], described["ttl_seconds"]) == ("256M", 600.0)
    assert strata.ctl("run", place, "--", "sh", "-c", "echo $A").stdout == "1\n"
    assert (
        strata.ctl("sandbox", "extend", place, "--ttl", "20m").stdout == f"{place} is closed when it was idle for 20m\n"
    )
    closed = strata.ctl("sandbox", "rm", place, f"{OWNER}/never")
    assert (closed.returncode, closed.stdout) == (1, f"{place} closed\n")
    assert closed.stderr == f"error: cannot close {OWNER}/never: session not found\n"


def test_a_session_sleeps_and_goes_on(strata: Node) -> None:
    """Frozen, its processes stand still."""
    place = f"{OWNER}/sleeps"
    strata.ctl("run", "-d", place, "--", "sh", "-c", "while :; do date +%s%N >/tmp/now; done")
    assert strata.ctl("sandbox", "freeze", place).stdout == f"{place} frozen\n"
    assert "frozen" in strata.ctl("sandbox", "ls", "--state", "frozen").stdout
    assert strata.ctl("sandbox", "thaw", place).stdout == f"{place} goes on\n"
    assert strata.ctl("sandbox", "ls", "--state", "frozen", "-q").stdout == ""
    assert strata.ctl("sandbox", "rm", place).returncode == 0


def test_files_are_listed_compared_packed_and_forked(strata: Node, tmp_path: Path) -> None:
    """What a session has made of its files, as a whole."""
    place = f"{OWNER}/layers"
    strata.ctl("run", place, "--", "sh", "-c", "echo x >made; mkdir sub; chmod 711 sub")
    listed = strata.ctl("sandbox", "files", place).stdout.splitlines()
    assert [line.split()[0:2] + line.split()[-1:] for line in listed[1:]] == [
        ["-", "0644", "made"],
        ["d", "0711", "sub"],
    ]
    assert "A /root/made" in strata.ctl("sandbox", "diff", place).stdout.splitlines()
    archive = tmp_path / "all.tar"
    assert strata.ctl("sandbox", "export", place, str(archive), "--path", "/root").returncode == 0
    assert b"made" in subprocess.run(["tar", "-tf", archive], capture_output=True, check=True).stdout
    assert strata.ctl("sandbox", "snapshot", place, "first").stdout.startswith("first: ")
    assert "first" in strata.ctl("sandbox", "snapshots", place).stdout
    assert strata.ctl("sandbox", "fork", place, "twin", "--snapshot", "first").stdout == f"{OWNER}/twin\n"
    assert strata.ctl("run", f"{OWNER}/twin", "--", "cat", "made").stdout == "x\n"
    assert strata.ctl("sandbox", "rm", place, f"{OWNER}/twin").returncode == 0
    assert strata.ctl("sandbox", "snapshots", place, "--remove", "first").returncode == 0


def test_top_and_status_show_the_sessions(strata: Node, inside: Inside) -> None:
    """Once without a terminal; the numbers are there for programs."""
    assert PLACE in strata.ctl("top").stdout
    found = json.loads(strata.ctl("top", "--json", "--owner", OWNER).stdout)
    assert {f"{row['owner']}/{row['session']}" for row in found["sessions"]} == {PLACE}
    assert found["max_sessions"] > 0
    status = strata.ctl("status")
    assert "sandboxes open" in status.stdout
    assert PLACE in status.stdout


def test_top_is_live_on_a_terminal_until_q(strata: Node, inside: Inside) -> None:
    """It draws again by itself, on the other screen, and puts the first one back."""
    with typing([CTL, "top", "-d", "300ms"], strata.environment, rows=10, cols=100) as typist:
        before = typist.modes()
        for _ in range(2):
            typist.read_until(r"\x1b\[H.* sessions")
            typist.read_until(PLACE)
        typist.type("q")
        assert typist.end() == 0
        assert typist.shown.endswith(b"\x1b[?25h\x1b[?1049l")
        assert typist.modes() == before


# --- who may


def test_another_user_needs_a_token_for_his_own(strata: Node, inside: Inside, tmp_path: Path) -> None:
    """None at all, one of another owner, and one of his own."""

    def as_nobody(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        argv = nobody.argv(tmp_path, CTL, *arguments)
        return subprocess.run(argv, cwd="/", env=strata.environment, capture_output=True, check=False)

    refused = as_nobody("run", PLACE, "--", "true")
    assert (refused.returncode, b"token required" in refused.stderr) == (125, True)
    file = tmp_path / "token"
    issued = strata.call(
        "identity.issue",
        {"service": "sandbox", "actions": ["create", "run", "close"], "owner": "nob", "ttl_seconds": 60},
    )
    file.write_text(issued["token"])
    file.chmod(0o644)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    foreign = as_nobody("run", "--token-file", str(file), PLACE, "--", "true")
    assert (foreign.returncode, b"not of clitest" in foreign.stderr) == (125, True)
    own = as_nobody("run", "--token-file", str(file), "nob/x", "--", "echo", "mine")
    assert (own.returncode, own.stdout) == (0, b"mine\n")
    assert as_nobody("sandbox", "rm", "nob/x", "--token-file", str(file)).returncode == 0


def test_bulk_output_does_not_pass_through_python(strata: Node, inside: Inside) -> None:
    """The command writes into the very pipe that strata-ctl was given: strata-ctl itself writes nothing."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, MEBIBYTE)
    process = subprocess.Popen(
        [CTL, "run", PLACE, "--", "head", "-c", str(64 * MEBIBYTE), "/dev/zero"],
        cwd="/", env=strata.environment, stdin=subprocess.DEVNULL, stdout=writer,
    )  # fmt: skip
    os.close(writer)
    count, written = 0, ""
    waiter = threading.Thread(target=process.wait)
    waiter.start()
    with open(reader, "rb", buffering=0) as pipe:
        while piece := pipe.read(MEBIBYTE):
            written = written or Path(f"/proc/{process.pid}/io").read_text()  # it runs: most is still to come
            count += len(piece)
    waiter.join()
    assert (count, process.returncode) == (64 * MEBIBYTE, 0)
    assert int(written.split("wchar: ")[1].split()[0]) < 65_536


def test_exec_shows_as_much_as_is_kept(strata: Node, inside: Inside) -> None:
    """A mebibyte, although a frame carries less; that there was more is told."""
    said = ctl(strata, "exec", PLACE, "--", "head -c 1500000 /dev/zero")
    assert (len(said.stdout), said.returncode) == (MEBIBYTE, 0)
    assert b"longer than is kept" in said.stderr

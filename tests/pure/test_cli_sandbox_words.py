# SPDX-License-Identifier: MIT
"""The verbs of sandboxes: what is typed and what it means, before anything is asked of anybody."""

from __future__ import annotations

import io
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from strata.cli import (
    cp,
    dispatch,
    early,
    exec,
    outcome,
    progress,
    run,
    sandbox,
    sandbox_files,
    screen,
    top,
    typed,
    verbs,
)
from strata.cli.place import Place, place
from strata.errors import InvalidArgument
from strata.paths import Paths

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("alice/task-001", Place("alice", "task-001")),
        ("task-001", Place(ME, "task-001")),
        ("", Place(ME, "default")),
    ],
)
def test_a_session_is_named_by_owner_and_id(text: str, wanted: Place) -> None:
    """One word is a session of the user's own, no word his default one."""
    assert place(text) == wanted


@pytest.mark.parametrize("text", ["/", "a/", "/b", "a/b/c", "a//b"])
def test_what_names_no_session_is_refused(text: str) -> None:
    """An empty part, or one too many."""
    with pytest.raises(InvalidArgument, match="expected OWNER/SESSION"):
        place(text)


def test_run_reads_its_options_up_to_the_dashes() -> None:
    """What comes after `--` is the command's, whatever it looks like."""
    argv = [
        "-e",
        "A=1",
        "-eB=2",
        "--env=C=3=4",
        "-w",
        "/tmp",
        "--timeout",
        "1min 30s",
        "alice/x",
        "--",
        "ls",
        "-e",
        "--",
    ]
    assert run.parameters(typed.read(run.VERB, argv)) == {
        "owner": "alice",
        "session": "x",
        "argv": ["ls", "-e", "--"],
        "env": {"A": "1", "B": "2", "C": "3=4"},
        "cwd": "/tmp",
        "timeout_ms": 90_000,
    }


def test_run_needs_nothing_but_a_command() -> None:
    """`strata-ctl run -- true` is the default session of the user."""
    assert run.parameters(typed.read(run.VERB, ["--", "true"])) == {"owner": ME, "session": "default", "argv": ["true"]}


def test_a_variable_may_take_its_value_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-e NAME`, as of docker; a name that is not set is a mistake and not an empty value."""
    monkeypatch.setenv("COLOUR", "blue")
    assert typed.environment(["COLOUR", "EMPTY="]) == {"COLOUR": "blue", "EMPTY": ""}
    for wrong in ("=x", "NOT_SET_ANYWHERE", ""):
        with pytest.raises(InvalidArgument, match="NAME=VALUE"):
            typed.environment([wrong])


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([], "no command given"),
        (["ls"], "no command given"),
        (["--"], "no command given"),
        (["a/b", "c", "--", "ls"], "cannot use 'c'"),
        (["--nonsense", "--", "ls"], "unknown option --nonsense"),
        (["-x", "--", "ls"], "unknown option -x"),
        (["--timeout", "--", "ls"], "missing value: --timeout SPAN"),
        (["--detach=yes", "--", "ls"], "takes no value"),
        (["--timeout", "soon", "--", "ls"], "cannot read 'soon'"),
        (["--timeout", "0", "--", "ls"], "at least 1ms"),
        (["--timeout", "infinity", "--", "ls"], "have an end"),
        (["a/b/c", "--", "ls"], "expected OWNER/SESSION"),
    ],
)
def test_a_wrong_command_line_of_run_says_what_is_wrong(argv: list[str], complaint: str) -> None:
    """And how it is typed."""
    with pytest.raises(InvalidArgument, match=complaint):
        run.parameters(typed.read(run.VERB, argv))


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["cd src && make"], "cd src && make"),
        (["ls", "-la"], "ls -la"),
        (["echo", "two  words", "$HOME", "it's"], """echo 'two  words' '$HOME' 'it'"'"'s'"""),
    ],
)
def test_one_word_of_exec_is_shell_text_and_several_are_one_command(words: list[str], command: str) -> None:
    """So that each word arrives as it was typed, and a script is a script."""
    assert exec.parameters(typed.read(exec.VERB, ["a/b", "--", *words]))["command"] == command


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"ended": "exit", "exit_code": 0}, 0),
        ({"ended": "exit", "exit_code": 3}, 3),
        ({"ended": "signal", "signal": "TERM", "exit_code": None}, 143),
        ({"ended": "signal", "signal": "SIGKILL"}, 137),
        ({"ended": "signal", "signal": 9}, 137),
        ({"ended": "timeout", "exit_code": None}, 124),
        ({"ended": "oom", "signal": "KILL"}, 137),
        ({"ended": "cancelled"}, 130),
        ({}, 125),
    ],
)
def test_how_a_command_ended_is_the_exit_code(result: dict[str, Any], code: int) -> None:
    """As shells, timeout(1) and docker(1) have it."""
    assert outcome.code(result) == code


def test_usage_errors_of_run_and_exec_are_not_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 125, as env(1) says it: 1 could be the command's own."""
    assert dispatch.run(["run"]) == 125
    assert dispatch.run(["exec", "a/b"]) == 125
    assert capsys.readouterr().err.count("error: no command given; type it as `strata-ctl ") == 2


def test_without_a_service_run_says_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the exit code is 125 here, too."""
    monkeypatch.setenv("STRATA_RUNTIME_DIR", str(tmp_path))
    assert dispatch.run(["run", "--", "true"]) == 125
    assert "start Strata with `strata-ctl up`" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_a_command_in_a_sandbox_starts_without_heavy_imports(verb: str) -> None:
    """What a raw call does without, it does without, too."""
    heavy = {"click", "msgspec", "asyncio", "pystemd", "jinja2", "logging", "subprocess", "decimal", "inspect"}
    code = f"import sys, strata.cli.main, strata.cli.{verb}; print(*sorted(set(sys.modules) & {heavy!r}))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == ""


@pytest.mark.parametrize(
    "verb", ["run", "exec", "shell", "cp", "top", "sandbox", *(f"sandbox {n}" for n in sandbox.group.rows)]
)
def test_every_verb_has_a_help_page(verb: str) -> None:
    """Made of the same tables as what reads the arguments."""
    said = CliRunner().invoke(verbs.root, [*verb.split(), "--help"])
    assert (said.exit_code, "Usage: strata-ctl" in said.output or "Usage: " in said.output) == (0, True)


def test_the_help_page_of_run_names_every_option() -> None:
    """One table, so none can be forgotten."""
    page = CliRunner().invoke(verbs.root, ["run", "--help"]).output
    assert all(flag in page for option in run.VERB.options for flag in option.flags)
    assert "run [OPTIONS] [OWNER/SESSION] -- COMMAND [ARG...]" in page


def test_help_of_the_command_is_not_help_of_run() -> None:
    """`strata-ctl run -- ls --help` is about ls."""
    assert not dispatch._wants_help(["a/b", "--", "ls", "--help"])
    assert dispatch._wants_help(["--help", "--", "ls"])


# --- cp


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("alice/x:notes", cp.End(Place("alice", "x"), "notes")),
        ("alice/x:", cp.End(Place("alice", "x"), "")),
        ("alice/x:/a:b", cp.End(Place("alice", "x"), "/a:b")),
        ("x:notes", cp.End(Place(ME, "x"), "notes")),
        ("notes", cp.End(None, "notes")),
        ("/tmp/a:b", cp.End(None, "/tmp/a:b")),
        ("./a:b", cp.End(None, "./a:b")),
        ("../a/b:c", cp.End(None, "../a/b:c")),
        ("a/b/c:d", cp.End(None, "a/b/c:d")),
        ("-", cp.End(None, "-")),
    ],
)
def test_a_side_of_a_copy_is_here_or_in_a_session(text: str, wanted: cp.End) -> None:
    """A path here that has a colon is written with ./ before it, as for scp."""
    assert cp.side(text) == wanted


@pytest.mark.parametrize(
    ("path", "wanted"), [("", "/root"), ("a/b", "/root/a/b"), ("/tmp/x", "/tmp/x"), ("../x", "/x"), ("/a/", "/a")]
)
def test_a_path_in_a_session_begins_at_home(path: str, wanted: str) -> None:
    """/root, where a shell begins as well."""
    assert cp.inside(path) == wanted


def test_a_copy_has_one_side_here_and_one_there() -> None:
    """Neither from here to here nor from session to session."""
    for sides in (("a", "b"), ("u/a:x", "u/b:y")):
        said = CliRunner().invoke(verbs.root, ["cp", *sides])
        assert isinstance(said.exception, InvalidArgument)
        assert "cannot tell the direction" in said.exception.message


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("f", 1024, 4096, 1.0), "f  25%  1.0K of 4.0K  1.0K/s  3s left"),
        (("f", 1024, None, 1.0), "f  1.0K  1.0K/s"),
        (("f", 0, 4096, 0.0), "f  0%  0B of 4.0K  0B/s"),
        (("f", 9000, 4096, 1.0), "f  100%  8.8K of 4.0K  8.8K/s  0s left"),
    ],
)
def test_progress_in_one_line(arguments: tuple[Any, ...], wanted: str) -> None:
    """How much, how fast, how long."""
    assert progress.line(*arguments) == wanted


# --- terminal


@pytest.mark.parametrize(
    ("text", "wanted"), [("ctrl-]", b"\x1d"), ("^]", b"\x1d"), ("Ctrl-P", b"\x10"), ("ctrl-\\", b"\x1c"), ("none", b"")]
)
def test_a_detach_key_is_a_control_character(text: str, wanted: bytes) -> None:
    """Or none at all."""
    assert screen.key(text) == wanted


@pytest.mark.parametrize("text", ["]", "ctrl-", "ctrl-11", "alt-x", "", "ctrl-1", "ctrl-\x7f"])
def test_what_is_no_control_character_is_no_detach_key(text: str) -> None:
    """It would be one that people type."""
    with pytest.raises(InvalidArgument, match="as a key: expected ctrl-LETTER"):
        screen.key(text)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 1000])
def test_what_a_program_did_to_the_terminal_is_undone(pieces: int) -> None:
    """Another screen, a hidden cursor, the mouse, in pieces of any length; what was switched off again stays so."""
    shown = b"text\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[31mred\x1b[?2004h\x1b[?2004l more"
    modes = screen.Modes()
    for at in range(0, len(shown), pieces):
        modes.see(shown[at : at + pieces])
    assert modes.undo() == b"\x1b[?1000l\x1b[?1006l\x1b[?1049l\x1b[?25h\x1b>\x1b[0m"


def test_a_terminal_that_was_left_alone_is_left_alone() -> None:
    """But for colours and the keypad, which nobody can see."""
    modes = screen.Modes()
    modes.see(b"hello \x1b[1mworld\x1b[0m\r\n$ ")
    assert modes.undo() == b"\x1b>\x1b[0m"


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_output_may_go_by(pieces: list[bytes]) -> None:
    """Nothing is kept of it but a few bytes."""
    modes = screen.Modes()
    for piece in pieces:
        modes.see(piece)
    assert len(modes._tail) < 100


# --- sandbox and top


def test_limits_are_read_by_their_kind() -> None:
    """Counts are numbers on the wire, sizes and shares texts."""
    assert sandbox.limits(["memory_max=512M", "tasks_max=64", "cpu_quota=50%", "disk_max=1073741824"]) == {
        "memory_max": "512M",
        "tasks_max": 64,
        "cpu_quota": "50%",
        "disk_max": "1073741824",
    }
    with pytest.raises(InvalidArgument, match="unknown limit 'memory'; there are memory_max, "):
        sandbox.limits(["memory=1G"])
    with pytest.raises(InvalidArgument, match="expected NAME=VALUE"):
        sandbox.limits(["memory_max"])


def test_a_fork_belongs_to_the_same_owner() -> None:
    """A bare name is a session beside; another owner is refused before anybody is asked."""
    here = Place("alice", "a")
    assert sandbox_files._sibling(here, "b") == Place("alice", "b")
    assert sandbox_files._sibling(here, "alice/b") == Place("alice", "b")
    with pytest.raises(InvalidArgument, match="the same owner"):
        sandbox_files._sibling(here, "bob/b")


def _row(name: str, cpu_ms: float, memory: int) -> dict[str, Any]:
    return {"owner": "u", "session": name, "state": "open", "usage": {"cpu_ms": cpu_ms, "memory": memory, "tasks": 3}}


def test_top_tells_the_share_of_a_cpu_between_two_looks() -> None:
    """500 ms of cpu in a second are 50 %; who uses most comes first; who is new has no share yet."""
    before = top.Sample(10.0, [_row("a", 1000, 5), _row("b", 0, 9)], {"max_sessions": 100})
    now = top.Sample(11.0, [_row("a", 1010, 5), _row("b", 500, 9), _row("c", 7, 1)], {"max_sessions": 100})
    rows = top.ordered(now, before, "cpu")
    assert [(row["session"], row["cpu_percent"]) for row in rows] == [("b", 50.0), ("a", 1.0), ("c", None)]
    assert [row["session"] for row in top.ordered(now, before, "name")] == ["a", "b", "c"]
    assert [row["session"] for row in top.ordered(now, None, "memory")] == ["b", "a", "c"]
    head, _, titles, first, *_ = top.lines(now, before, "cpu", colour=False)
    assert head == "3 of 100 sessions · cpu 51.0% · memory 15B · 9 tasks"
    assert titles.split()[:3] == ["SESSION", "STATE", "CPU"]
    assert first.split()[:3] == ["u/b", "open", "50.0%"]


def test_a_session_whose_usage_is_not_known_is_shown() -> None:
    """It was closed while we asked."""
    now = top.Sample(1.0, [{"owner": "u", "session": "x", "state": "open"}], {})
    assert top.lines(now, None, "cpu", colour=False)[3].split()[:3] == ["u/x", "open", "-"]


def test_output_that_is_no_text_arrives_as_it_was() -> None:
    """The service sends base64 where UTF-8 will not do."""
    assert exec.content({"stdout": "\ufffd", "stdout_b64": "/w=="}, "stdout") == b"\xff"
    assert exec.content({"stdout": "é"}, "stdout") == "é".encode()
    assert exec.content({}, "stderr") == b""


def test_standard_input_of_exec_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request must fit in a frame; the error names the verb that takes any amount."""
    wanted = typed.read(exec.VERB, ["-i", "--", "cat"])
    for data, params in ((b"text", {"stdin": "text"}), (b"\xff", {"stdin_b64": "/w=="})):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert exec.parameters(wanted).items() >= params.items()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x" * 600_000)))
    with pytest.raises(InvalidArgument, match="`strata-ctl run` can"):
        exec.parameters(wanted)


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"STRATA_RUNTIME_DIR": "/x/y/../z/"},
        {"STRATA_RUNTIME_DIR": ""},
        {"XDG_RUNTIME_DIR": "/run/user/7"},
    ],
)
@pytest.mark.parametrize("uid", [0, 1000])
def test_run_knocks_where_the_service_listens(env: dict[str, str], uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its own words for it, because the usual ones take longer to load than to connect."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert early.path(env) == str(Paths.from_env(env).socket("sandbox"))


def test_only_a_run_knocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nobody listens, nothing is said until the connection is needed."""
    monkeypatch.setenv("STRATA_RUNTIME_DIR", str(tmp_path))
    early.knock(["run", "--", "true"])
    assert early.take() is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sandbox.sock"))
        listener.listen()
        early.knock(["exec", "--", "true"])
        assert early.take() is None
        early.knock(["run", "--", "true"])
        sock = early.take()
        assert sock is not None
        sock.close()
        assert early.take() is None

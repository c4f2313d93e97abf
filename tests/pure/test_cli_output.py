# SPDX-License-Identifier: MIT
"""What a person and a program see: tables, spans, colours, suggestions, completion."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys

import pytest

from strata.cli import audit, format, reload, services, status, table, token
from strata.cli.group import unknown
from strata.cli.table import Cell
from strata.errors import InvalidArgument
from strata.types import ServiceState


def ctl(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "strata", *argv],
        env={**os.environ, "STRATA_RUNTIME_DIR": "/nonexistent/strata", **env},
        capture_output=True,
        text=True,
        check=False,
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (125, "2m 5s"), (3600, "1h"), (90_000, "1d 1h"), (3601, "1h")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert format.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "-"), (0, "0B"), (1023, "1023B"), (1024, "1.0K"), (22_439_527, "21.4M"), (2**60, "1024.0P")],
)
def test_a_size_is_in_powers_of_1024(count: int | None, text: str) -> None:
    assert format.size(count) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1h", 3600), ("1h 30min", 5400), ("500ms", 0.5), ("7d", 604_800)]
)
def test_a_span_is_typed_as_systemd_has_it(text: str, seconds: float) -> None:
    assert format.span_seconds(text) == seconds


def test_a_table_is_aligned_and_numbers_stand_right() -> None:
    lines = table.render(("NAME", "PID"), [("fs", "7"), ("identity", "4321")], right=("PID",))
    assert lines == ["NAME       PID", "fs           7", "identity  4321"]


def test_wide_characters_count_twice() -> None:
    assert table.render(("A", "B"), [("日本", "x"), ("ab", "y")]) == ["A     B", "日本  x", "ab    y"]


def test_what_a_service_says_cannot_act_on_the_terminal() -> None:
    lines = table.render(("A",), [("\x1b[2Jx\ny\x9b",)])
    assert lines == ["A", "�[2Jx�y�"]


def test_colour_is_for_terminals_that_want_it() -> None:
    assert table.wants_colour(Terminal(), {"TERM": "xterm"})
    assert not table.wants_colour(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not table.wants_colour(Terminal(), {"TERM": "dumb"})
    assert not table.wants_colour(io.StringIO(), {"TERM": "xterm"})
    assert table.render(("A",), [(Cell("x", "red"),)], colour=True)[1] == "\x1b[31mx\x1b[0m"


def test_stopped_is_a_wish_and_no_problem() -> None:
    rows = [{"state": state} for state in ("Healthy", "Stopped", "Crashed", "Quarantined", "Starting")]
    assert status.problems(rows) == rows[2:]


def test_a_description_is_indented_lines_with_units() -> None:
    found = {
        "name": "fs",
        "usage": {"memory_bytes": 2048},
        "after": ["identity"],
        "core": True,
        "why": "",
        "health": None,
    }
    assert services.lines(found) == [
        "name: fs", "usage:", "  memory_bytes: 2.0K", "after: identity", "core: yes", "why: -", "health: -",
    ]  # fmt: skip


def test_a_plan_is_shown_step_by_step_with_its_problems(capsys: pytest.CaptureFixture[str]) -> None:
    step = {"verb": "start", "service": "web", "reason": "its manifest is new"}
    reload.show({"plan": [step], "problems": ["cannot use manifest x"], "applied": False})
    reload.show({"plan": [], "problems": [], "applied": False})
    said = ["start web: its manifest is new", "cannot use manifest x", "nothing to change"]
    assert capsys.readouterr().out.splitlines() == said


def test_an_audit_record_is_about_the_service_it_names_not_the_one_that_tells() -> None:
    record = {
        "_SYSTEMD_UNIT": "strata-supervisor.service",
        "STRATA_SERVICE": ["fs", "supervisor"],
        "STRATA_EVENT": "svc.stop",
    }
    assert audit._texts(record)[1:3] == ["svc.stop", "fs"]


def test_the_parameters_of_a_token_are_only_what_was_asked() -> None:
    nothing = {"path_prefix": None, "rate_limit": None, "ttl": None}
    assert token.asked(actions=("open,read", "list"), rights=(), **nothing) == {"actions": ["open", "read", "list"]}
    asked = token.asked(actions=(), rights=("fs.write",), path_prefix="/srv", rate_limit="5rps", ttl=3600.0)
    assert asked == {"rights": ["fs.write"], "path_prefix": "/srv", "rate_limit": "5rps", "ttl_seconds": 3600}


def test_a_lifetime_under_a_second_is_refused_not_rounded_to_none() -> None:
    with pytest.raises(InvalidArgument, match="at least one second"):
        token.asked(actions=("a",), rights=(), path_prefix=None, rate_limit=None, ttl=0.5)


def test_a_misspelt_verb_is_met_with_a_suggestion() -> None:
    assert unknown("statsu", ["status", "start", "logs"], "strata-ctl").startswith(
        "unknown verb 'statsu'; did you mean status"
    )
    assert "--help" in unknown("xyzzy", ["status"], "strata-ctl")
    done = ctl("statsu")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: unknown verb 'statsu'; did you mean status")
    assert "did you mean issue" in ctl("token", "isue").stderr


@pytest.mark.parametrize(
    "argv", [["stop"], ["status", "--nonsense"], ["up", "--mode", "x"], ["token", "issue"], ["logs", "-n", "x"]]
)
def test_usage_errors_are_one_line_and_exit_code_1(argv: list[str]) -> None:
    done = ctl(*argv)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["status", "describe fs", "events", "stop fs", "token inspect x", "reload"])
def test_where_nothing_runs_every_verb_says_how_to_start(verb: str) -> None:
    done = ctl(*verb.split())
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot ")
    assert "strata-ctl up" in done.stderr


def test_help_lists_every_verb_without_importing_it() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "strata", "--help"], capture_output=True, text=True, check=True
    )
    for verb in ("up", "down", "status", "doctor", "logs", "token", "completion"):
        assert f"\n  {verb} " in done.stdout
    assert "strata.cli.up" not in done.stderr
    assert "strata.embedded" not in done.stderr


def test_version_is_the_packages() -> None:
    from strata import __version__

    assert ctl("--version").stdout == f"strata-ctl {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_parses(shell: str) -> None:
    done = ctl("completion", shell)
    assert done.returncode == 0
    assert "_STRATA_CTL_COMPLETE" in done.stdout
    if shutil.which(shell):  # zsh and fish are seldom there; bash is
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


def test_completion_knows_the_verbs_without_a_running_strata() -> None:
    done = ctl(_STRATA_CTL_COMPLETE="bash_complete", COMP_WORDS="strata-ctl sta", COMP_CWORD="1")
    assert done.stdout.splitlines() == ["plain,status", "plain,start"]
    assert (
        ctl(_STRATA_CTL_COMPLETE="bash_complete", COMP_WORDS="strata-ctl stop f", COMP_CWORD="2").stdout.strip() == ""
    )


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = f"{sys.executable} -m strata --help 2>&1 | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("0", "141")
    assert done.stderr == ""


@pytest.mark.parametrize("event", ["auth.denied", "svc.crash", f"svc.{ServiceState.QUARANTINED.lower()}"])
def test_what_went_wrong_is_red_in_the_audit_log(event: str) -> None:
    """A state's event is named after it (strata.supervisor.board)."""
    assert audit._style({"STRATA_EVENT": event}) == "red"

# SPDX-License-Identifier: MIT
"""The raw form: what argv means, what is refused, and what a call costs in imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from strata.cli import dispatch, raw, target
from strata.errors import InvalidArgument, Unavailable
from strata.paths import Paths


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fs.list"],
        ["-token", "T", "fs.list"],
        ["-token"],
        ["-x"],
        ["--token-file", "f", "a.b"],
        [""],
        ["supervisor.svc.list"],
    ],
)
def test_flags_and_words_with_a_dot_are_the_raw_form(argv: list[str]) -> None:
    assert dispatch.is_raw(argv)


@pytest.mark.parametrize(
    "argv", [["status"], ["up", "--mode", "user"], ["--help"], ["-h"], ["--version"], ["nonsense"]]
)
def test_words_without_a_dot_are_verbs(argv: list[str]) -> None:
    assert not dispatch.is_raw(argv)


def test_a_call_has_method_params_and_token() -> None:
    assert raw.parse(["-token", "T", "fs.list", '{"path":"."}', "extra"]) == raw.Request(
        "fs.list", {"path": "."}, "T", raw.ANSWER_SECONDS
    )


def test_params_may_be_null_or_left_out() -> None:
    assert raw.parse(["a.b", "null"]).params is None
    assert raw.parse(["a.b"]).params is None


def test_supervisor_calls_wait_as_long_as_they_take() -> None:
    assert raw.parse(["supervisor.svc.stop"]).timeout is None
    assert raw.parse(["--timeout", "2.5", "supervisor.svc.stop"]).timeout == 2.5
    assert raw.parse(["--timeout", "0", "fs.list"]).timeout is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-token"], "missing token value"),
        (["-x", "a.b"], "unknown flag -x"),
        (["--token", "T", "a.b"], "unknown flag --token"),
        (["-token", "T"], "missing method"),
        ([""], "missing method"),
        (["-token", "T", "status"], "a method has a dot"),
        (["a.b", "{"], "invalid params JSON: "),
        (["a.b", "[]"], "invalid params JSON: expected an object"),
        (["a.b", "5"], "invalid params JSON: expected an object"),
        (["a.b", '{"x":NaN}'], "invalid params JSON: NaN"),
        (["a.b", "[" * 100_000], "invalid params JSON: "),
        (["--timeout", "soon", "a.b"], "cannot use --timeout soon"),
        (["--timeout", "-1", "a.b"], "cannot use --timeout -1"),
        (["--timeout", "nan", "a.b"], "cannot use --timeout nan"),
        (["-token", "@/nonexistent", "a.b"], "cannot read the token file"),
    ],
)
def test_107_what_is_no_call_is_refused_with_its_reason(argv: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        raw.parse(argv)
    assert message in caught.value.message


def test_a_token_may_come_from_a_file_so_that_argv_does_not_show_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("v2.public.abc\n")
    assert raw.parse(["-token", f"@{file}", "a.b"]).token == "v2.public.abc"
    assert raw.parse(["--token-file", str(file), "a.b"]).token == "v2.public.abc"
    assert raw.parse(["a.b"], token_file=str(file)).token == "v2.public.abc"
    assert raw.parse(["-token", "mine", "a.b"], token_file=str(file)).token == "mine"


def test_a_token_file_with_more_than_a_token_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for content in (b"", b"two words", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(InvalidArgument, match="cannot"):
            raw.parse(["-token", f"@{file}", "a.b"])


@pytest.mark.parametrize("method", [".list", "a/b.list", "../../etc/x.list", "a\0b.list"])
def test_a_method_cannot_name_a_socket_elsewhere(method: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot call"):
        target.connect(Paths(tmp_path, tmp_path, tmp_path), method, 1.0)


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://", "tcp://x", "tcp://127.0.0.1:", "tcp://127.0.0.1:99999999", "tcp://:1", "unix://", "unix:///a\0b",
     "http://x", "/" + "x" * 500, "tcp://\udcff:1"],
)  # fmt: skip
def test_whatever_the_registry_says_is_at_worst_unavailable(endpoint: str) -> None:
    with pytest.raises(Unavailable, match="dial"):
        target.dial(endpoint, 1.0)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "usage: strata-ctl [-token TOKEN] <method> [params_json]"),
        (["-token"], "error: missing token value"),
        (["-x"], "error: unknown flag -x"),
        (["a.b", "["], "error: invalid params JSON: "),
        (["supervisor.status"], "error: dial "),
    ],
)
def test_107_110_a_refusal_is_on_stderr_with_exit_code_1(argv: list[str], message: str, tmp_path: Path) -> None:
    done = run(argv, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message)


def test_a_raw_call_imports_nothing_heavy(tmp_path: Path) -> None:
    """The whole process must cost little: json, socket and the plain client are all that a call needs."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "strata", "supervisor.status"],
        env={**os.environ, "STRATA_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "error: dial" in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "strata.sockets.client" in imported
    assert not imported & {"click", "msgspec", "asyncio", "subprocess", "jinja2", "pystemd", "tomllib", "strata.config"}


def run(argv: list[str], runtime_dir: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "STRATA_RUNTIME_DIR": str(runtime_dir)}
    return subprocess.run([sys.executable, "-m", "strata", *argv], env=env, capture_output=True, text=True, check=False)

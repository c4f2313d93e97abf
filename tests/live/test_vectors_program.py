# SPDX-License-Identifier: MIT
"""Vectors 178 to 181: the program `strata`, which serves sandboxes and is at the other end of its own port."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from node import CTL, Node, free_address, until
from typist import typing

from strata import config
from strata.cli import serving
from strata.paths import Paths

PROGRAM = Path(sys.executable).with_name("strata")
SETTINGS = {
    "STRATA_SERVER_ADDR": "127.0.0.1:2280",
    "STRATA_SANDBOX_BASE_ROOTFS": "",
    "STRATA_SANDBOX_SESSION_TTL": "30m",
    "STRATA_SANDBOX_MAX_SESSIONS": "100",
    "STRATA_SANDBOX_OVERLAY_DRIVER": "auto",
}


def strata_program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `strata` to its end, in an environment without settings but these."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")} | environment
    return subprocess.run([PROGRAM, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.fixture
def place() -> Iterator[dict[str, str]]:
    """Directories and a port for a Strata of one's own. Not below pytest's, which services may not enter."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to boot a systemd of its own")
    with tempfile.TemporaryDirectory(prefix="strata-program-", dir="/run") as name:
        os.chmod(name, 0o755)
        names = {"RUNTIME": "run", "STATE": "state", "CONFIG": "etc"}
        found = {f"STRATA_{key}_DIR": f"{name}/{directory}" for key, directory in names.items()}
        yield found | {"STRATA_SERVER_ADDR": free_address()}


@contextlib.contextmanager
def serving_program(
    verb: str, place: Mapping[str, str], *options: str, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`strata run`, serving; ended, however the test ends."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("STRATA_")} | place | environment
    process = subprocess.Popen([PROGRAM, verb, *options], env=env, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = process.stderr.readline()
            assert line, f"it ended before it served: {said}"
            said += line
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def _get(place: Mapping[str, str], path: str) -> object:
    with urllib.request.urlopen(f"http://{place['STRATA_SERVER_ADDR']}{path}", timeout=10) as answer:
        return json.load(answer)


def _exec(place: Mapping[str, str], command: str) -> dict[str, object]:
    body = json.dumps({"command": command}).encode()
    request = urllib.request.Request(
        f"http://{place['STRATA_SERVER_ADDR']}/api/sessions/alice/x/exec",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, object] = json.load(answer)
    return found


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("STRATA_SANDBOX_SESSION_TTL", "abc", "sandbox.session_ttl: cannot read 'abc'"),
        ("STRATA_SANDBOX_MAX_SESSIONS", "many", "cannot use STRATA_SANDBOX_MAX_SESSIONS"),
        ("STRATA_SANDBOX_OVERLAY_DRIVER", "zfs", "sandbox.overlay_driver must be one of"),
        ("STRATA_SANDBOX_ISOLATE_NETWORK", "perhaps", "cannot use STRATA_SANDBOX_ISOLATE_NETWORK"),
        ("STRATA_SERVER_ADDR", "nowhere", "must be HOST:PORT"),
    ],
)
def test_178_a_wrong_setting_is_told_with_the_usage(variable: str, value: str, complaint: str) -> None:
    """Exit code 1, before anything is started."""
    said = strata_program("run", **{variable: value})
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("usage: strata run")
    assert complaint in said.stderr


def test_178_settings_of_the_environment_hold_and_bare_names_mean_nothing(place: dict[str, str]) -> None:
    """STRATA_SANDBOX_MAX_SESSIONS is heeded by the service; MAX_SESSIONS, ADDR and SESSION_TTL are anybody's."""
    bare = {"MAX_SESSIONS": "7", "ADDR": "1.2.3.4:5", "SESSION_TTL": "abc"}
    with serving_program("run", place, "--insecure-no-auth", STRATA_SANDBOX_MAX_SESSIONS="3", **bare):
        assert _get(place, "/api/stats") == {"active_sessions": 0, "max_sessions": 3}
        other = strata_program("run", **place, STRATA_SANDBOX_MAX_SESSIONS="4")
        assert other.returncode == 1
        assert "cannot serve with STRATA_SANDBOX_MAX_SESSIONS=4" in other.stderr


def test_178_what_is_not_said_is_as_the_specification_has_it(strata: Node, tmp_path: Path) -> None:
    """Each STRATA_* default of 2.2; FIX: only loopback (130), an isolated network (159), the best driver."""
    settings = config.load(Paths(tmp_path, tmp_path, tmp_path), {})
    assert settings.api.address == SETTINGS["STRATA_SERVER_ADDR"]
    sandbox = settings.sandbox
    assert (sandbox.session_ttl, sandbox.max_sessions, sandbox.overlay_driver) == ("30m", 100, "auto")
    assert (sandbox.base_rootfs, sandbox.session_root, sandbox.isolate_network) == ("", "", True)
    made = strata.call("sandbox.create", {"owner": "clitest", "session": "default"})
    try:
        assert (made["ttl_seconds"], made["base"], made["network"]) == (1800, "", "isolated")
        assert strata.call("sandbox.stats")["max_sessions"] == 100
        assert (strata.manager.paths.state_dir / "sandbox/sessions/clitest/default").is_dir()
    finally:
        strata.call("sandbox.close", {"owner": "clitest", "session": "default"})


def test_178_settings_that_differ_are_found_either_way() -> None:
    """What is set there and not here counts as much as what is set here and not there."""
    there = {"STRATA_SANDBOX_MAX_SESSIONS": "3", "STRATA_INSECURE_NO_AUTH": "true", "STRATA_NODE_ID": "n", "PATH": "x"}
    assert serving.differences(there, {"STRATA_SANDBOX_MAX_SESSIONS": "4"}) == [
        "STRATA_SANDBOX_MAX_SESSIONS=4",
        "STRATA_INSECURE_NO_AUTH=",
    ]
    assert serving.differences(there, there | {"STRATA_LOG_LEVEL": "debug"}) == []


def test_179_without_a_verb_there_is_help() -> None:
    """Exit code 0; an unknown verb is 1; the version is told; the variables are named (spec 2.1)."""
    for arguments in ((), ("--help",)):
        said = strata_program(*arguments)
        assert (said.returncode, said.stderr) == (0, "")
        assert all(name in said.stdout for name in SETTINGS)
    assert re.fullmatch(r"strata \d+\.\d+\.\d+\n", strata_program("--version").stdout)
    bogus = strata_program("bogus")
    assert (bogus.returncode, bogus.stdout) == (1, "")
    assert "unknown verb 'bogus'" in bogus.stderr


@pytest.mark.parametrize("verb", ["run", "web", "serve"])
def test_179_it_serves_until_it_is_asked_to_end_and_leaves_nothing(verb: str, place: dict[str, str]) -> None:
    """Also sessions, their mounts and their files are gone."""
    with serving_program(verb, place, "--insecure-no-auth") as process:
        assert _exec(place, "echo $((6*7))")["output"] == "42"
        process.send_signal(signal.SIGINT if verb == "web" else signal.SIGTERM)
        assert process.wait(60) == 0
    assert not Path(place["STRATA_RUNTIME_DIR"]).exists()
    assert os.listdir(f"{place['STRATA_STATE_DIR']}/sandbox/sessions") == []
    top = str(Path(place["STRATA_STATE_DIR"]).parent)
    assert top not in Path("/proc/self/mountinfo").read_text()
    until(lambda: not _processes(top), "no process of it is left")


def _processes(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes() and path.parent.name != str(os.getpid()):
                found.append(path.parent.name)
    return found


def test_179_what_runs_already_is_left_running(place: dict[str, str]) -> None:
    """A second one with the same settings serves beside it, and takes nothing with it."""
    with serving_program("run", place, "--insecure-no-auth"):
        with serving_program("serve", place, "--insecure-no-auth") as second:
            second.send_signal(signal.SIGINT)
            assert second.wait(60) == 0
        assert _exec(place, "echo still")["output"] == "still"


def test_179_somebody_elses_down_is_the_end(place: dict[str, str]) -> None:
    """It does not pretend to serve: exit code 1, and the reason."""
    with serving_program("run", place) as process:
        down = subprocess.run([CTL, "down"], env=os.environ | place, capture_output=True, text=True, check=False)
        assert down.returncode == 0, down.stderr
        assert process.wait(60) == 1


def test_161_without_bwrap_nothing_is_started(tmp_path: Path) -> None:
    """`bwrap is required`, exit code 1, as the predecessor has it."""
    for name in ("python3", "systemctl"):
        (tmp_path / name).symlink_to(shutil.which(name) or "/bin/false")
    said = strata_program("run", PATH=str(tmp_path))
    assert said.returncode == 1
    assert said.stderr.startswith("error: bwrap is required")


# --- strata cli


def _client(strata: Node, *more: str) -> list[str]:
    return [str(PROGRAM), "cli", "--addr", strata.address, "--user", "clitest", *more]


def _open(strata: Node) -> set[str]:
    return set(strata.ctl("sandbox", "ls", "-q", "--owner", "clitest").stdout.split())


def test_180_exit_closes_the_session(strata: Node) -> None:
    """A real terminal over the port: prompt, size, and afterwards the session is gone."""
    with typing(_client(strata, "--session", "x"), strata.environment) as typist:
        before = typist.modes()
        typist.read_until("[$#] ")
        assert _open(strata) == {"clitest/x"}
        typist.type("stty size\r")
        typist.read_until("24 80")
        typist.size(50, 132)
        until(
            lambda: typist.type("stty size\r") or typist.read_until("(24 80|50 132)")[1] == b"50 132", "it was resized"
        )
        typist.type("exit 3\r")
        assert typist.end() == 3
        assert typist.modes() == before
    assert _open(strata) == set()


def test_180_ctrl_c_returns_at_once(strata: Node) -> None:
    """To the prompt, without another Enter; and as a signal, it ends the client and the session with it."""
    with typing(_client(strata), strata.environment) as typist:
        typist.read_until("[$#] ")
        typist.type("echo on; sleep 60\r")
        typist.read_until("[\r\n]on\r")
        began = time.monotonic()
        until(lambda: _interrupted(typist), "there is a prompt")
        assert time.monotonic() - began < 5
        os.kill(typist.pid, signal.SIGINT)
        assert typist.end() == 130
    assert _open(strata) == set()


def _interrupted(typist: object) -> bool:
    typist.type("\x03")  # type: ignore[attr-defined]
    try:
        typist.read_until("[$#] ", 0.5)  # type: ignore[attr-defined]
    except AssertionError:
        return False
    return True


def test_180_the_detach_key_leaves_the_session(strata: Node) -> None:
    """It is still there, and the same command comes back."""
    with typing(_client(strata, "--session", "kept"), strata.environment) as typist:
        typist.read_until("[$#] ")
        typist.type("\x1d")
        assert typist.end() == 0
    assert _open(strata) == {"clitest/kept"}
    assert strata.ctl("sandbox", "rm", "clitest/kept").returncode == 0


def test_180_commands_may_come_down_a_pipe(strata: Node) -> None:
    """The end of the input is the end of the shell, and of the session."""
    said = subprocess.run(
        _client(strata), env=strata.environment, input="echo $((6*7))\n", capture_output=True, text=True, timeout=30
    )
    assert "42" in said.stdout
    assert said.returncode == 0
    assert _open(strata) == set()


def test_180_no_server_is_told(strata: Node) -> None:
    """At once, with the address."""
    address = free_address()
    said = subprocess.run(
        [PROGRAM, "cli", "--addr", address],
        env=strata.environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert said.returncode == 1
    assert f"cannot reach http://{address}" in said.stderr


# --- strata check-env


def test_181_every_item_is_reported_and_summed_up() -> None:
    """Exit code 0 where it would run, 1 where something is missing."""
    said = strata_program("check-env")
    lines = said.stdout.splitlines()
    assert said.returncode == 0, said.stdout
    items = [match for line in lines if (match := re.match(r"\[( ok |warn|fail)\] ([^:]+): .+", line))]
    machine = {"kernel", "systemd", "bwrap", "cgroups"}
    assert {match[2] for match in items} >= machine | {"seccomp", "sandbox drivers", "sandbox namespaces"}
    counts = [sum(match[1].strip() == level for match in items) for level in ("ok", "warn", "fail")]
    assert lines[-1] == f"ready: {counts[0]} ok, {counts[1]} warnings, {counts[2]} failed"
    without = strata_program("check-env", PATH="/nonexistent")
    assert without.returncode == 1
    assert "[fail] bwrap: not installed" in without.stdout
    assert without.stdout.splitlines()[-1].startswith("not ready: ")


def test_180_an_address_without_a_port_is_refused() -> None:
    """In one sentence, never a traceback."""
    said = strata_program("cli", "--addr", "no-port")
    assert said.returncode == 1
    assert said.stderr == "error: cannot use --addr 'no-port': expected HOST:PORT, such as localhost:2280\n"

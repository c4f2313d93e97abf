# SPDX-License-Identifier: MIT
"""Attempts by others on the machine, and by what a session leaves for them: secrets, files, names, time, floods."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.exceptions
import pytest
import wire
from cell import Cell, opened
from node import Node, until
from visitor import Visitor

SECRET = "FAKE_SECRET_7f3e91"
NOBODY = 65534


@pytest.fixture(scope="module")
def keeper(strata: Node) -> Iterator[Cell]:
    """A session with a secret among its variables, a set-user-ID file, and a snapshot that holds both."""
    with opened(strata, "audit", "secrets", env={"TOKEN": SECRET}) as found:
        found.call("exec", command="cp /usr/bin/id /root/suid; chmod 6755 /root/suid; echo $TOKEN >/root/secret")
        found.call("snapshot", name="kept")
        yield found
        found.call("remove_snapshot", name="kept")


# --- secrets and files at rest

# As nobody: every file that can be read below the directories, and every process's arguments and variables.
_LOOK = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
secret, found = sys.argv[1].encode(), []
def look(path):
    try:
        with open(path, "rb") as file:
            if secret in file.read(1 << 20): found.append(path)
    except OSError: pass
for top in sys.argv[2:]:
    for directory, _, names in os.walk(top):
        for name in names: look(f"{directory}/{name}")
    for session in ("audit/secrets", "audit/cell"):  # names can be guessed where directories cannot be listed
        for name in ("session.json", "shell.json", "disk.ext4"): look(f"{top}/sandbox/sessions/{session}/{name}")
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) != os.getpid():
        for name in ("cmdline", "environ"): look(f"/proc/{pid}/{name}")
try:
    os.stat(sys.argv[2] + "/sandbox/snapshots/audit/kept/upper/root/suid"); found.append("the set-user-ID file")
except PermissionError: pass
print(*found, sep="\\n")
"""


def test_no_user_of_the_machine_reads_what_a_session_was_told(strata: Node, keeper: Cell) -> None:
    """Its variables, its disk, its snapshots: in no file, argument or environment that nobody may read. And files that
    it made set-user-ID cannot be reached, let alone run."""
    paths = strata.manager.paths
    background = keeper.begin("sleep 60")
    argv = [os.path.realpath(sys.executable), "-I", "-S", "-c", _LOOK, SECRET]
    said = subprocess.run(
        [*argv, str(paths.state_dir), str(paths.runtime_dir), str(paths.config_dir)],
        cwd="/", capture_output=True, text=True, check=True, timeout=30,
    ).stdout.split("\n")  # fmt: skip
    keeper.call("kill", id=background)
    assert [line for line in said if line] == []


def test_the_journal_has_no_variable_and_no_argument_of_a_command(strata: Node, keeper: Cell) -> None:
    """Both may be secrets: only the program is named."""
    keeper.run("/bin/echo", SECRET)
    keeper.call("exec", command=f"echo {SECRET}")
    strata.manager.run(["journalctl", "--sync"])
    said = strata.manager.run(["journalctl", "--no-pager", "--output=export"]).stdout
    assert "audit/secrets" in said
    assert SECRET not in said


# --- names and output that end on an operator's terminal

EVIL = "\x1b]0;taken\x07\x1b[2J\r\x9b31m\u202e"


def test_no_escape_sequence_reaches_the_operators_terminal(strata: Node, cell: Cell) -> None:
    """Names of files, labels, arguments, links and error messages are shown, not obeyed."""
    evil = Cell(strata, "audit", "evil")
    evil.call("create", labels={"k": EVIL.replace("\x00", "")})
    try:
        evil.run("/usr/bin/python3", "-c", f"import os; os.symlink({EVIL!r}, {EVIL!r} + 'l'); open({EVIL!r}, 'w')")
        evil.call("run", argv=["/bin/sleep", "60", EVIL], background=True)
        name = "audit/evil"
        shown = [
            strata.ctl(*words)
            for words in (
                ["sandbox", "ls"], ["sandbox", "describe", name], ["sandbox", "diff", name], ["sandbox", "runs", name],
                ["sandbox", "files", name, "/root"], ["sandbox", "terminals", name], ["status"],
                ["cp", f"{name}:/root/{EVIL}none", "/dev/null"], ["sandbox", "hangup", name, EVIL],
                ["logs", "sandbox"], ["sandbox", "describe", f"{name}{EVIL}"], ["sandbox", "describe", name, "--json"],
                ["-token", EVIL, "sandbox.files", '{"owner":"audit","session":"evil","path":"/root"}'],
            )
        ]  # fmt: skip
        for one in shown:
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", one.stdout + one.stderr), one
        strata.manager.run(["journalctl", "--sync"])
        said = strata.manager.run(["journalctl", "--no-pager", "--output=short"]).stdout
        assert "\x1b" not in said
    finally:
        evil.call("close")


# --- time


def test_a_frozen_session_does_not_outlive_its_lifetime(strata: Node) -> None:
    """What stands still can still be ended: by PID 1, when its time is over."""
    frozen = Cell(strata, "audit", "frozen")
    frozen.call("create", lifetime="2s", ttl="30m")
    frozen.begin("sleep 77910")
    frozen.call("freeze")
    until(lambda: not frozen.ask("describe")["ok"], "it is gone", 15)
    until(lambda: not frozen.processes_outside(), "so are its processes")


def test_nobody_extends_a_session_beyond_its_lifetime(strata: Node) -> None:
    """Neither by extending nor by a run that never ends, a watch or a viewer."""
    one = Cell(strata, "audit", "extended")
    one.call("create", lifetime="2s", ttl="1s")
    one.begin("sleep 77911")
    with one.asked("watch", path="/root"), one.attach(terminal="t"):
        while one.ask("extend", ttl="1h")["ok"]:
            time.sleep(0.1)
    until(lambda: not one.processes_outside(), "it has ended", 15)


# --- floods


@pytest.mark.parametrize("kind", ["reset", "settings", "ping", "headers"])
def test_a_flood_of_http2_frames_is_dropped_and_others_are_answered(strata: Node, kind: str) -> None:
    """CVE-2023-44487 (calls begun and given up), CVE-2019-9512, CVE-2019-9515, CVE-2024-27316 (headers without end)."""
    host, port = strata.address.rsplit(":", 1)
    speaker = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    speaker.initiate_connection()
    with socket.create_connection((host, int(port)), 10) as sock:
        sock.settimeout(10)
        sock.sendall(speaker.data_to_send())
        began = time.monotonic()
        try:
            for number in range(3000):
                sock.sendall(_flooding(kind, 2 * number + 1))
                if number % 500 == 0:
                    asked = time.monotonic()
                    assert Visitor(strata.address, "x").ask("GET", "/api/stats").status == 401
                    assert time.monotonic() - asked < 5
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert time.monotonic() - began < 40
    assert strata.services()["api"]["state"] == "Healthy"


_HEADERS = bytes.fromhex("83 86 41 01 61 04 02 2f 61".replace(" ", ""))  # POST http :authority=a :path=/a (RFC 7541)


def _flooding(kind: str, stream: int) -> bytes:
    frame = {
        "reset": _frame(1, 0x4, stream, _HEADERS) + _frame(3, 0, stream, bytes(4)),
        "settings": _frame(4, 0, 0, b""),
        "ping": _frame(6, 0, 0, bytes(8)),
        "headers": _frame(1 if stream == 1 else 9, 0, 1, _HEADERS if stream == 1 else b"\x00\x01a\x01b" * 200),
    }
    return frame[kind]


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def test_guessed_tokens_are_refused_and_hold_nobody_up(undisturbed: Node) -> None:
    """Thousands by a stranger: each is refused alike, root is answered meanwhile, and no token is written down."""
    guess = f"v4.public.{SECRET}{'A' * 80}"
    with undisturbed.connect("sandbox", NOBODY) as stranger:
        began = time.monotonic()
        for _ in range(2000):
            assert wire.error(stranger.ask("sandbox.list", {"owner": "x"}, token=guess))[0] == 2
        assert time.monotonic() - began < 30
        asked = time.monotonic()
        undisturbed.call("sandbox.list")
        assert time.monotonic() - asked < 2
    said = undisturbed.manager.run(["journalctl", "--no-pager", "--output=export"]).stdout
    assert SECRET + "AAAA" not in said


@pytest.mark.parametrize(
    "params",
    [{"env": {f"V{n}": "x" * 9 for n in range(60_000)}}, {"labels": {f"l{n}": "x" for n in range(5000)}},
     {"labels": {"k": "x" * 100_000}}, {"env": {"A": "x" * 900_000}}],
)  # fmt: skip
def test_a_session_of_thousands_of_variables_or_labels_is_refused(strata: Node, params: dict[str, object]) -> None:
    """What each of its commands would have to carry is bounded when it is opened; a frame of more than a mebibyte
    ends the connection."""
    one = Cell(strata, "audit", "crowded")
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        code, message = wire.error(one.ask("create", **params))
        assert code == 1, message
    assert not one.ask("describe")["ok"]

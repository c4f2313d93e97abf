# SPDX-License-Identifier: MIT
"""strata-ctl as a process of its own against real servers: vectors 105 to 110, and the verbs that only talk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rooms import DEADLINE, directory, served

from strata.cli import launch
from strata.errors import NotFound
from strata.paths import Paths
from strata.sockets.method import Call, Empty, Method
from strata.sockets.server import Server
from strata.supervisor.handlers import EventsParams
from strata.types import Access

LIST = {"services": [{"name": "fs", "state": "Healthy", "pid": 7, "unit": "strata-fs.service", "restarts": 0,
                      "memory_bytes": 2048, "since": 1.0}]}  # fmt: skip
STATUS = {"node_id": "n-1", "uptime_sec": 65, "mode": "system", "systemd": "252", "problems": []}


class Name(msgspec.Struct, frozen=True):
    name: str = ""
    service: str = ""


async def _events(_room: Any, _call: Call, _params: Any) -> AsyncIterator[Any]:
    for seq in (1, 2):
        yield {"seq": seq, "time": 1.0, "event": "svc.healthy", "service": "fs", "message": "well", "state": "Healthy"}


def _resolve(room: dict[str, Any], _call: Call, params: Name) -> Any:
    if params.service in room:
        return {"endpoint": room[params.service], "api_v": 1}
    raise NotFound(f"service not registered: {params.service}")


def _refuse(_room: Any, _call: Call, params: Name) -> Any:
    raise NotFound(f'unknown service "{params.name}"')


ROWS = (
    ("registry.list", Empty, lambda *_: {"services": []}),
    ("registry.resolve", Name, _resolve),
    ("supervisor.status", Empty, lambda *_: STATUS),
    ("supervisor.svc.list", Empty, lambda *_: LIST),
    ("supervisor.svc.start", Name, _refuse),
    ("supervisor.svc.stop", Name, lambda *_: {"status": "stopped"}),
    ("supervisor.events", Empty, _events),
    ("fs.who", Empty, lambda _room, call, _params: {"token": call.token, "method": call.method, "odd": "é<\x9b"}),
)


class Here:
    """A runtime directory with services in it, and strata-ctl."""

    def __init__(self, path: Path, endpoints: dict[str, str]) -> None:
        self.path, self.endpoints = path, endpoints

    @contextlib.contextmanager
    def service(self, name: str, file: str = "") -> Iterator[None]:
        methods = [Method(m, Access.OPEN, p, run, "") for m, p, run in ROWS if m.startswith(f"{name}.")]

        @contextlib.asynccontextmanager
        async def compose() -> AsyncIterator[Server]:
            yield Server(methods, self.endpoints, lambda *_: None, lambda *_: None)

        with served(compose, self.path / (file or f"{name}.sock")):
            yield

    def ctl(self, *argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "STRATA_RUNTIME_DIR": str(self.path), **more.pop("env", {})}
        return subprocess.run(
            [sys.executable, "-m", "strata", *argv],
            env=env, capture_output=True, text=True, timeout=DEADLINE, check=False, **more,
        )  # fmt: skip


@pytest.fixture
def here() -> Iterator[Here]:
    with directory() as path:
        yield Here(path, {})


def test_105_a_reply_is_printed_whole_indented_by_two(here: Here) -> None:
    with here.service("registry"):
        done = here.ctl("registry.list")
    envelope = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == json.dumps(envelope, indent=2) + "\n"
    assert list(envelope) == ["v", "req_id", "ok", "result"]
    assert len(bytes.fromhex(envelope["req_id"])) == 8


def test_106_an_error_reply_is_printed_too_and_the_exit_code_is_1(here: Here) -> None:
    with here.service("registry"):
        done = here.ctl("registry.resolve", '{"service":"x"}')
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == 4


@pytest.mark.parametrize("way", ["argument", "standard input", "file", "environment"])
def test_108_the_token_is_sent_whichever_way_it_came(here: Here, way: str) -> None:
    file = here.path / "token"
    file.write_text("T0K\n")
    argv, more = {
        "argument": (["-token", "T0K"], {}),
        "standard input": (["-token", "-"], {"input": "T0K\n"}),
        "file": (["-token", f"@{file}"], {}),
        "environment": ([], {"env": {"STRATA_TOKEN_FILE": str(file)}}),
    }[way]
    with here.service("fs"):
        done = here.ctl(*argv, "fs.who", **more)
    assert json.loads(done.stdout)["result"]["token"] == "T0K"


def test_109_without_a_registry_the_conventional_socket_is_used(here: Here) -> None:
    with here.service("fs"):
        done = here.ctl("fs.who")
    assert done.returncode == 0
    assert done.stderr.startswith("notice: registry unavailable")


def test_110_with_no_daemon_the_error_says_where_it_knocked(here: Here) -> None:
    done = here.ctl("supervisor.status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: dial {here.path}/supervisor.sock: No such file or directory\n"


@pytest.mark.parametrize("form", ["unix://{}", "{}"])
def test_the_registry_says_where_a_service_is(here: Here, form: str) -> None:
    here.endpoints["fs"] = form.format(here.path / "elsewhere.sock")
    with here.service("registry"), here.service("fs", "elsewhere.sock"):
        done = here.ctl("fs.who")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_endpoint_may_be_tcp(here: Here) -> None:
    answer = b'{"v":1,"req_id":"x","ok":true,"result":{"far":true}}'
    with socket.create_server(("127.0.0.1", 0)) as listener, here.service("registry"):
        here.endpoints["fs"] = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=_answer_one, args=(listener, answer))
        thread.start()
        done = here.ctl("fs.who")
        thread.join(DEADLINE)
    assert json.loads(done.stdout)["result"] == {"far": True}


def _answer_one(listener: socket.socket, answer: bytes) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.recv(65536)
        peer.sendall(struct.pack(">I", len(answer)) + answer)


@pytest.mark.parametrize("answer", [b"[]", b"{", b"\xff", b'{"ok":5}', b'{"ok":false,"error":7}', b"[" * 50_000])
def test_an_answer_that_is_none_is_an_error_never_a_traceback(here: Here, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(here.path / "registry.sock"))
        listener.listen()
        thread = threading.Thread(target=_answer_one, args=(listener, answer))
        thread.start()
        done = here.ctl("registry.list")
        thread.join(DEADLINE)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_text_is_printed_as_it_is_but_cannot_act_on_the_terminal(here: Here) -> None:
    with here.service("fs"):
        done = here.ctl("fs.who")
    assert '"odd": "é\\u003c\\u009b"' in done.stdout


def test_a_stream_prints_each_of_its_frames(here: Here) -> None:
    with here.service("supervisor"):
        done = here.ctl("supervisor.events")
    decoder, rest, seen = json.JSONDecoder(), done.stdout, []
    while rest:
        envelope, end = decoder.raw_decode(rest)
        seen.append(envelope)
        rest = rest[end:].lstrip()
    assert [envelope.get("more", False) for envelope in seen] == [True, True, False]
    assert done.returncode == 0


@pytest.fixture
def ctrl_c_heard() -> Iterator[None]:
    """Whoever runs the tests in the background has them ignore it (sh(1), asynchronous lists), and children inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_heard")
def test_ctrl_c_ends_a_waiting_call_with_130(here: Here) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(here.path / "supervisor.sock"))
        listener.listen()
        env = {**os.environ, "STRATA_RUNTIME_DIR": str(here.path)}
        argv = [sys.executable, "-m", "strata", "supervisor.status"]
        with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            peer, _ = listener.accept()
            with peer:
                peer.recv(1)
                process.send_signal(signal.SIGINT)
                assert process.wait(DEADLINE) == 130
            assert process.stderr is not None
            assert process.stderr.read() == b""


def test_status_is_a_table_for_a_person_and_json_for_a_program(here: Here) -> None:
    with here.service("supervisor"):
        person, program = here.ctl("status"), here.ctl("status", "--json")
    assert person.returncode == program.returncode == 0
    assert person.stdout.startswith("Strata on node n-1 · system mode, systemd 252 · up 1m 5s · 1 of 1 Healthy\n")
    assert "\nfs       Healthy  strata-fs.service    7         0    2.0K  " in person.stdout
    assert "\x1b" not in person.stdout
    found = json.loads(program.stdout)
    assert (found["running"], found["ok"], found["services"]) == (True, True, LIST["services"])


def test_status_without_strata_is_json_too(here: Here) -> None:
    done = here.ctl("status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["running"] is False


def test_every_name_is_tried_and_one_failure_fails_the_whole(here: Here) -> None:
    with here.service("supervisor"):
        done = here.ctl("start", "a", "b")
        good = here.ctl("stop", "a", "--json")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f'error: cannot start {name}: unknown service "{name}"' for name in "ab"]
    assert (good.returncode, json.loads(good.stdout)) == (0, [{"name": "a", "ok": True, "status": "stopped"}])


def test_events_are_lines_or_json_lines(here: Here) -> None:
    with here.service("supervisor"):
        person, program = here.ctl("events"), here.ctl("events", "--json")
    assert len(person.stdout.splitlines()) == 2
    assert [json.loads(line)["seq"] for line in program.stdout.splitlines()] == [1, 2]


def test_completion_offers_the_services_that_run(here: Here) -> None:
    with here.service("supervisor"):
        done = here.ctl(
            env={"_STRATA_CTL_COMPLETE": "bash_complete", "COMP_WORDS": "strata-ctl stop ", "COMP_CWORD": "2"}
        )
    assert done.stdout.splitlines() == ["plain,fs"]


def test_up_looks_again_when_a_new_supervisor_numbers_its_events_anew() -> None:
    """What it waits for, an event above the last number of the one before, does not come for long."""
    states = iter(("Starting", "Starting"))

    async def events(_room: Any, _call: Call, params: Any) -> AsyncIterator[Any]:
        if params.follow:
            await asyncio.Event().wait()
        yield {"seq": 40}

    def services(*_: Any) -> Any:
        return {"services": [{"name": "fs", "state": next(states, "Healthy"), "unit": "strata-fs.service"}]}

    methods = [
        Method("supervisor.svc.list", Access.OPEN, Empty, services, ""),
        Method("supervisor.events", Access.OPEN, EventsParams, events, "", True),
    ]

    @contextlib.asynccontextmanager
    async def compose() -> AsyncIterator[Server]:
        yield Server(methods, None, lambda *_: None, lambda *_: None)

    with directory() as path, served(compose, path / "supervisor.sock"):
        started = time.monotonic()
        launch.wait_for_services(Paths(path, path, path), started + 60)
        assert time.monotonic() - started < DEADLINE

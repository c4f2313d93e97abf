# SPDX-License-Identifier: MIT
"""Sessions on a modern systemd, with and without v1 hierarchies: opened, used, frozen, adopted and closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from machine import Manager
from node import Node, running, until

OWNER = "modern"


@pytest.fixture(scope="module", params=["modern_manager", "pure_manager"])
def modern(request: pytest.FixtureRequest) -> Iterator[Node]:
    """Strata, Healthy, on the systemd of a Debian 13 tree."""
    manager: Manager = request.getfixturevalue(request.param)
    with running(manager) as node:
        yield node


def call(node: Node, method: str, session: str, **params: Any) -> Any:
    return node.call(f"sandbox.{method}", {"owner": OWNER, "session": session, **params})


def unit(node: Node, session: str, property_: str) -> str:
    shown = node.manager.run(["systemctl", "show", "-P", property_, f"strata-sandbox-{OWNER}-{session}.scope"])
    return shown.stdout.strip()


@pytest.fixture
def session(modern: Node, request: pytest.FixtureRequest) -> Iterator[str]:
    """One that is open, and gone afterwards."""
    name = request.node.originalname.removeprefix("test_")[:60]
    assert call(modern, "create", name)["created"]
    yield name
    modern.ask("sandbox.close", {"owner": OWNER, "session": name})
    left = modern.manager.paths.state_dir / "sandbox/sessions" / OWNER / name
    assert not left.exists()
    assert unit(modern, name, "LoadState") == "not-found"


def test_a_session_is_a_scope_in_its_owners_slice(modern: Node, session: str) -> None:
    assert unit(modern, session, "ActiveState") == "active"
    assert unit(modern, session, "Slice") == f"strata-sandbox-{OWNER}.slice"


def test_where_there_is_only_cgroup2_it_is_all_that_is_used(modern: Node, session: str) -> None:
    mounts = modern.manager.run(["cat", "/proc/self/mounts"]).stdout.splitlines()
    kinds = {line.split()[2] for line in mounts if line.split()[2].startswith("cgroup")}
    alone = kinds == {"cgroup2"}
    assert call(modern, "describe", session)["cgroup"].startswith("/sys/fs/cgroup/unified/") is not alone


def test_a_shell_keeps_its_state(modern: Node, session: str) -> None:
    call(modern, "exec", session, command="cd /tmp; colour=red")
    assert call(modern, "exec", session, command="echo $colour in $PWD")["output"] == "red in /tmp"


def test_a_time_out_ends_the_command_and_what_it_started(modern: Node, session: str) -> None:
    said = call(modern, "exec", session, command="sleep 100 & sleep 100", timeout_ms=300)
    assert said["ended"] == "timeout"
    assert "sleep" not in call(modern, "exec", session, command="cat /proc/[0-9]*/comm")["output"]


def test_a_run_tells_how_it_ended(modern: Node, session: str) -> None:
    said = call(modern, "run", session, argv=["/bin/sh", "-c", "cat; exit 3"], stdin="given")
    assert (said["stdout"], said["exit_code"]) == ("given", 3)


def test_a_frozen_session_stands_still(modern: Node, session: str) -> None:
    started = call(modern, "run", session, argv=["/bin/sh", "-c", "sleep 0.5; echo over"], background=True)
    assert call(modern, "freeze", session)["state"] == "frozen"
    assert call(modern, "wait", session, id=started["id"], wait_ms=1500)["state"] == "running"
    assert modern.refusal("sandbox.exec", {"owner": OWNER, "session": session, "command": "true"})[0] == 8
    assert call(modern, "thaw", session)["state"] == "open"
    assert call(modern, "wait", session, id=started["id"], wait_ms=10_000)["stdout"]["end"] == len("over\n")


def test_files_go_in_and_come_out(modern: Node, session: str) -> None:
    call(modern, "put", session, path="note", data="hello\n")
    assert call(modern, "exec", session, command="cat note")["output"] == "hello"
    assert call(modern, "get", session, path="note")["data"] == "hello\n"


def test_a_killed_room_takes_its_sessions_back(modern: Node, session: str) -> None:
    call(modern, "exec", session, command="kept=yes")
    modern.kill("sandbox")
    assert call(modern, "exec", session, command="echo $kept")["output"] == "yes"


def test_pid_1_ends_an_overdue_session(modern: Node) -> None:
    call(modern, "create", "overdue", lifetime="1s")
    files: Path = modern.manager.paths.state_dir / "sandbox/sessions" / OWNER / "overdue"
    until(lambda: not files.exists(), "the session is over and its files are gone", 15.0)
    assert modern.refusal("sandbox.describe", {"owner": OWNER, "session": "overdue"})[0] == 4

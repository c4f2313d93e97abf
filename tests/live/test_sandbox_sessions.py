# SPDX-License-Identifier: MIT
"""Whole sessions through the sandbox room on a real systemd: opened, found, frozen, adopted, closed, and gone."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node import Node, until

OWNER = "lifetest"


class Sessions:
    """Sessions of one owner, closed after the test."""

    def __init__(self, strata: Node) -> None:
        self.strata = strata

    def create(self, session: str, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.call("create", session, **params)
        return found

    def call(self, method: str, session: str, **params: Any) -> Any:
        return self.strata.call(f"sandbox.{method}", {"owner": OWNER, "session": session, **params})

    def refusal(self, method: str, session: str, **params: Any) -> tuple[int, str]:
        return self.strata.refusal(f"sandbox.{method}", {"owner": OWNER, "session": session, **params})

    def names(self) -> set[str]:
        listed = self.strata.call("sandbox.list", {"owner": OWNER})["sessions"]
        return {one["session"] for one in listed}

    def directory(self, session: str) -> Path:
        return self.strata.manager.paths.state_dir / "sandbox/sessions" / OWNER / session

    def processes(self, session: str) -> list[int]:
        """As the machine numbers them; the room's own numbers may be of another namespace."""
        cgroup = f"strata-sandbox-{OWNER}-{session}.scope"
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if cgroup in (entry / "cgroup").read_text():
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def unit(self, session: str, property_: str) -> str:
        shown = self.strata.manager.run(
            ["systemctl", "show", "-P", property_, f"strata-sandbox-{OWNER}-{session}.scope"]
        )
        assert shown.returncode == 0, shown.stderr
        return shown.stdout.strip()


@pytest.fixture
def sessions(strata: Node) -> Iterator[Sessions]:
    """No session of the owner is left, neither before nor after."""
    found = Sessions(strata)
    yield found
    for name in found.names():
        found.call("close", name)


def test_a_session_is_a_scope_in_its_owners_slice_with_its_limits(sessions: Sessions) -> None:
    made = sessions.create("one", limits={"memory_max": "64M", "tasks_max": 33})
    assert made["unit"] == f"strata-sandbox-{OWNER}-one.scope"
    assert sessions.unit("one", "ActiveState") == "active"
    assert sessions.unit("one", "Slice") == f"strata-sandbox-{OWNER}.slice"
    assert sessions.unit("one", "MemoryMax") == str(64 * 1024 * 1024)
    assert sessions.unit("one", "TasksMax") == "33"


def test_creating_again_finds_the_same_session(sessions: Sessions) -> None:
    first, second = sessions.create("again"), sessions.create("again")
    assert (first["created"], second["created"]) == (True, False)
    assert first["created_at"] == second["created_at"]


def test_ids_with_dashes_have_units_of_their_own(sessions: Sessions) -> None:
    made = sessions.create("a-b")
    assert made["unit"] == rf"strata-sandbox-{OWNER}-a\x2db.scope"


def test_what_cannot_be_had_is_refused_not_reduced(sessions: Sessions) -> None:
    assert sessions.refusal("create", "bad", limits={"memory": "1G"})[0] == 1
    assert sessions.refusal("create", "bad", limits={"tasks_max": 1})[0] == 1
    assert sessions.refusal("create", "bad", ttl="soon")[0] == 1
    assert sessions.refusal("create", "bad", driver="btrfs")[0] == 1
    assert sessions.refusal("create", "bad", template="none")[0] == 4
    assert sessions.names() == set()


def test_sessions_are_found_by_their_labels(sessions: Sessions) -> None:
    sessions.create("red", labels={"colour": "red", "size": "s"})
    sessions.create("blue", labels={"colour": "blue"})
    listed = sessions.strata.call("sandbox.list", {"owner": OWNER, "labels": {"colour": "red"}})["sessions"]
    assert [one["session"] for one in listed] == ["red"]


def test_closing_leaves_no_process_no_unit_and_no_file(sessions: Sessions) -> None:
    sessions.create("gone")
    assert sessions.processes("gone")
    assert sessions.call("close", "gone") == {"status": "closed"}
    assert sessions.processes("gone") == []
    assert not sessions.directory("gone").exists()
    assert sessions.unit("gone", "LoadState") == "not-found"
    assert sessions.refusal("close", "gone") == (4, "session not found")


def test_the_same_ids_can_be_opened_again_at_once(sessions: Sessions) -> None:
    for _ in range(5):
        assert sessions.create("phoenix")["created"]
        sessions.call("close", "phoenix")


def test_a_frozen_session_stands_still_until_it_is_thawed(sessions: Sessions) -> None:
    sessions.create("ice")
    assert sessions.call("freeze", "ice")["state"] == "frozen"
    events = Path(sessions.call("describe", "ice")["cgroup"]) / "payload/cgroup.events"
    if sessions.strata.manager.embedded is None:
        assert "frozen 1" in events.read_text()
    assert sessions.call("thaw", "ice")["state"] == "open"


def test_an_idle_session_is_closed_when_its_time_is_over(sessions: Sessions) -> None:
    sessions.create("idle", ttl="1s")
    until(lambda: "idle" not in sessions.names(), "the idle session is closed", 6.0)
    until(lambda: not sessions.directory("idle").exists(), "its files are gone", 6.0)


def test_pid_1_ends_an_overdue_session(sessions: Sessions) -> None:
    sessions.create("overdue", lifetime="1s")
    until(lambda: "overdue" not in sessions.names(), "the session is over", 8.0)
    until(lambda: not sessions.directory("overdue").exists(), "its files are gone", 8.0)


def test_a_session_that_an_operator_stops_is_forgotten(sessions: Sessions) -> None:
    made = sessions.create("stopped")
    assert sessions.strata.manager.run(["systemctl", "stop", made["unit"]]).returncode == 0
    until(lambda: "stopped" not in sessions.names(), "the room has noticed")
    until(lambda: not sessions.directory("stopped").exists(), "its files are gone")


def test_sessions_outlive_a_killed_room(sessions: Sessions, disturbed: Node) -> None:
    before = sessions.create("survivor", labels={"kept": "yes"})
    pids = sessions.processes("survivor")
    disturbed.kill("sandbox")
    after = sessions.call("describe", "survivor")
    assert after["created_at"] == before["created_at"]
    assert after["labels"] == {"kept": "yes"}
    assert sessions.processes("survivor") == pids


def test_a_restart_asked_for_keeps_sessions_too(sessions: Sessions, disturbed: Node) -> None:
    sessions.create("patient")
    pids = sessions.processes("patient")
    disturbed.call("supervisor.svc.restart", {"name": "sandbox"})
    disturbed.settle()
    assert sessions.processes("patient") == pids


def test_what_died_while_the_room_was_away_is_removed(sessions: Sessions, disturbed: Node) -> None:
    sessions.create("dead")
    disturbed.call("supervisor.svc.restart", {"name": "sandbox"})
    for pid in sessions.processes("dead"):
        os.kill(pid, signal.SIGKILL)
    disturbed.kill("sandbox")
    until(lambda: "dead" not in sessions.names(), "the dead session is not listed")
    until(lambda: not sessions.directory("dead").exists(), "its files are gone")


def test_a_hundred_sessions_open_at_once(sessions: Sessions) -> None:
    room = sessions.strata.call("sandbox.stats")
    count = min(100, room["max_sessions"] - room["active_sessions"])
    names = [f"crowd-{number}-{uuid.uuid4().hex[:6]}" for number in range(count)]
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        made = list(pool.map(sessions.create, names))
    assert all(one["created"] for one in made)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: sessions.call("close", name), names))
    assert sessions.names() == set()

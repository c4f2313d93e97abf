# SPDX-License-Identifier: MIT
"""Sessions while what they stand on fails: PID 1 does not answer, the room is stopped or ended with many of them open,
callers hang up, files are put where Strata looks."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import wire
from inhabited import Inhabited
from node import Node, until
from served import base_tree

from strata.errors import StrataError
from strata.sockets.client import Client

OWNER = "trouble"
MANY = 100


class Owner:
    """Whatever this owner has."""

    def __init__(self, strata: Node) -> None:
        self.strata = strata
        self.files = strata.manager.paths.state_dir / "sandbox/sessions" / OWNER

    def call(self, method: str, session: str, **params: Any) -> Any:
        return self.strata.call(f"sandbox.{method}", {"owner": OWNER, "session": session, **params})

    def names(self) -> set[str]:
        return {one["session"] for one in self.strata.call("sandbox.list", {"owner": OWNER})["sessions"]}

    def units(self) -> set[str]:
        argv = ["systemctl", "list-units", "--all", "--no-legend", "--plain", f"strata-sandbox-{OWNER}*"]
        return {line.split()[0] for line in self.strata.manager.run(argv).stdout.splitlines()}

    def crowd(self, count: int) -> list[str]:
        names = [f"crowd-{number}-{uuid.uuid4().hex[:6]}" for number in range(count)]
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda name: self.call("create", name), names))
        return names


@pytest.fixture
def owner(disturbed: Node) -> Iterator[Owner]:
    """Nothing of this owner's is left afterwards."""
    found = Owner(disturbed)
    yield found
    disturbed.settle()
    for name in found.names():
        found.call("close", name)
    until(lambda: not found.units(), "no unit of the owner is left")
    assert not found.files.exists()


@pytest.mark.timeout(120)
def test_while_pid_1_does_not_answer_callers_are_told_and_afterwards_nothing_is_left(owner: Owner) -> None:
    embedded = owner.strata.manager.embedded
    if embedded is None:
        pytest.skip("this machine's PID 1 must not be stopped")
    owner.call("create", "there")
    os.kill(embedded.pid, signal.SIGSTOP)
    try:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            opened = pool.submit(_refusal, owner, "create", "late")
            closed = pool.submit(_refusal, owner, "close", "there")
            assert opened.result() == "UNAVAILABLE"
            assert closed.result() == "UNAVAILABLE"
    finally:
        os.kill(embedded.pid, signal.SIGCONT)
    until(lambda: not owner.files.exists() and not owner.units(), "both are gone, by themselves", 60.0)
    assert owner.call("create", "late")["created"]
    assert owner.call("close", "late") == {"status": "closed"}


def _refusal(owner: Owner, method: str, session: str) -> str:
    with Client(owner.strata.manager.paths.socket("sandbox"), timeout=60) as client:
        try:
            client.call(f"sandbox.{method}", {"owner": OWNER, "session": session})
        except StrataError as error:
            return error.name
    return ""


@pytest.mark.timeout(120)
def test_a_stop_closes_a_hundred_sessions_in_time(owner: Owner) -> None:
    owner.crowd(MANY)
    stopped = owner.strata.manager.run(["systemctl", "stop", "strata-sandbox.service", "strata-sandbox.socket"])
    assert stopped.returncode == 0, stopped.stderr
    result = owner.strata.manager.run(["systemctl", "show", "-P", "Result", "strata-sandbox.service"]).stdout.strip()
    assert result == "success"
    assert not owner.files.exists()
    assert not owner.units()


@pytest.mark.timeout(120)
def test_a_hundred_sessions_are_adopted_by_the_next_room(owner: Owner) -> None:
    names = owner.crowd(MANY)
    owner.strata.kill("sandbox")
    assert owner.names() == {*names}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: owner.call("close", name), names))


def test_a_room_that_is_told_to_end_but_not_to_stop_keeps_its_sessions(owner: Owner) -> None:
    owner.call("create", "kept")
    before = owner.strata.services()["sandbox"]["pid"]
    owner.strata.manager.run(["systemctl", "kill", "--kill-who=main", "--signal=TERM", "strata-sandbox.service"])
    until(lambda: owner.strata.services()["sandbox"]["pid"] not in (0, before), "the room has another process", 30.0)
    owner.strata.settle()
    assert owner.names() == {"kept"}


def test_what_cannot_be_opened_leaves_no_descriptor_no_unit_and_no_file(owner: Owner) -> None:
    base = owner.strata.manager.paths.state_dir / "empty"
    base.mkdir()
    before = None
    for number in range(12):
        params = {"owner": OWNER, "session": f"s{number}", "base": str(base)}
        assert owner.strata.refusal("sandbox.create", params)[0] == 5
        if number == 3:  # by then all that is opened once and kept is there
            before = owner.strata.descriptors("sandbox")
    base.rmdir()
    until(lambda: len(owner.strata.descriptors("sandbox")) <= len(before or ()), "no descriptor is left")
    assert owner.units() == set()
    assert not owner.files.exists()


def test_who_gives_a_session_too_little_time_to_be_opened_is_told_so(owner: Owner) -> None:
    """Of a base whose shell never says that it is there, PID 1 ends the scope first."""
    base = base_tree(owner.strata.manager.paths.state_dir / "mute")
    (base / "usr/bin/sh").unlink()
    (base / "usr/bin/sh").write_text("#!/usr/bin/bash\nwhile :; do read -r _; done\n")
    (base / "usr/bin/sh").chmod(0o755)
    try:
        params = {"owner": OWNER, "session": "hasty", "base": str(base), "lifetime": "1s"}
        said = f"cannot open {OWNER}/hasty: its lifetime of 1 s ended before it was open; give it a longer one"
        assert owner.strata.refusal("sandbox.create", params) == (6, said)
    finally:
        shutil.rmtree(base)


def test_a_session_is_closed_by_who_has_not_waited_for_its_opening(owner: Owner) -> None:
    for _ in range(5):
        with owner.strata.connect("sandbox") as hangs_up:
            hangs_up.send(wire.request("sandbox.create", {"owner": OWNER, "session": "unwanted"}))
            until(lambda: (owner.files / "unwanted").exists(), "it is being opened")
        assert owner.call("close", "unwanted") == {"status": "closed"}
        assert owner.names() == set()


def test_a_session_whose_first_command_nobody_waits_for_serves_the_next(owner: Owner) -> None:
    for _ in range(5):
        with owner.strata.connect("sandbox") as hangs_up:
            hangs_up.send(wire.request("sandbox.exec", {"owner": OWNER, "session": "early", "command": "sleep 100"}))
            until(lambda: (owner.files / "early").exists(), "it is being opened")
        assert owner.call("exec", "early", command="echo served")["output"] == "served"
        assert owner.call("close", "early") == {"status": "closed"}


def test_sessions_of_one_owner_come_and_go_at_once(owner: Owner) -> None:
    """The owner's slice is stopped with the last one, and made for the first: over and over, with its limits."""

    def one(number: int) -> None:
        for _ in range(8):
            owner.call("create", f"s{number}")
            owner.call("close", f"s{number}")

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(one, range(3)))


def test_a_link_for_a_home_leads_nowhere_when_the_disk_is_measured(owner: Owner) -> None:
    owner.call("create", "link")
    inside = Inhabited(owner.strata, OWNER, "link")
    assert owner.call("usage", "link")["disk_max"] is not None
    inside.sh("cd /; mv /root /elsewhere; ln -s /tmp /root")
    assert owner.call("usage", "link")["disk_max"] is None


def test_closing_tells_who_works_on_files_that_the_session_is_gone(owner: Owner) -> None:
    owner.call("create", "watched")
    inside = Inhabited(owner.strata, OWNER, "watched")
    with inside.asked("watch", path="/tmp") as watching:
        until(lambda: inside.workers() == 1, "it is watched")
        owner.call("close", "watched")
        while (reply := watching.reply())["ok"]:
            assert not reply.get("end"), reply
        assert (reply["error"]["code"], reply["error"]["message"]) == (4, "the session was closed meanwhile")

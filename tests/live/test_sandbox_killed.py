# SPDX-License-Identifier: MIT
"""SIGKILL to any or all of Strata's processes while sessions are opened, used and closed: nothing is left over, what
lives is adopted, and the next request works."""

from __future__ import annotations

import contextlib
import random
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from devices import LOOP
from node import Node, until

from strata.errors import StrataError
from strata.sockets.client import Client
from strata.units.names import escape

OWNER = "killed"
UNITS = {"room": "strata-sandbox.service", "door": "strata-api.service"}
ROUNDS = 6


class Load:
    """Two clients that open, use and close sessions until told to stop; what they were told is remembered."""

    def __init__(self, strata: Node, seed: int) -> None:
        self.socket = strata.manager.paths.socket("sandbox")
        self.acknowledged: dict[str, bool] = {}  # session → is open, by the last answer; absent while not known
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(seed, number)) for number in range(2)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, seed: int, number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        while not self._stop.is_set():
            session = f"w{number}-{chance.randrange(4)}"
            verb = chance.choice(("create", "exec", "exec", "close"))
            known = self.acknowledged.pop(session, None)
            with contextlib.suppress(StrataError, OSError), Client(self.socket, timeout=20) as client:
                params: dict[str, Any] = {"owner": OWNER, "session": session}
                if verb == "exec":
                    params["command"] = "echo $((6 * 7)); touch /data/x 2>/dev/null; sleep 0.02"
                client.call(f"sandbox.{verb}", params)
                self.acknowledged[session] = verb != "close"
                continue
            if verb == "exec" and known:
                self.acknowledged[session] = True  # an exec that fails closes nothing


def kill(strata: Node, whom: str, chance: random.Random) -> None:
    """SIGKILL to a main process, to one process of the room's unit, or to all of Strata's at once."""
    if whom == "all":
        strata.manager.run(["systemctl", "kill", "--signal=KILL", *UNITS.values(), "strata-supervisor.service"])
        return
    if whom in UNITS:
        strata.manager.run(["systemctl", "kill", "--kill-who=main", "--signal=KILL", UNITS[whom]])
        return
    shown = strata.manager.run(["systemctl", "show", "-P", "ControlGroup", UNITS["room"]]).stdout.strip()
    script = f"cat /sys/fs/cgroup/unified{shown}/cgroup.procs /sys/fs/cgroup{shown}/cgroup.procs 2>/dev/null"
    pids = strata.manager.run(["sh", "-c", script]).stdout.split()
    if pids:
        strata.manager.run(["kill", "-KILL", chance.choice(pids)])


def sessions(strata: Node) -> set[str]:
    return {one["session"] for one in strata.call("sandbox.list", {"owner": OWNER})["sessions"]}


def scopes(strata: Node) -> set[str]:
    listed = strata.manager.run(
        ["systemctl", "list-units", "--all", "--no-legend", "--plain", f"strata-sandbox-{OWNER}-*.scope"]
    )
    return {line.split()[0] for line in listed.stdout.splitlines()}


def directories(strata: Node) -> set[str]:
    root = strata.manager.paths.state_dir / "sandbox/sessions" / OWNER
    return {path.name for path in root.iterdir()} if root.is_dir() else set()


def disks(strata: Node) -> set[str]:
    said = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], capture_output=True, text=True
    )
    mark = f"{strata.manager.paths.state_dir}/sandbox/sessions/{OWNER}/"
    return {line.split(mark)[1].split("/")[0] for line in said.stdout.splitlines() if mark in line}


@pytest.fixture
def cleared(disturbed: Node) -> Iterator[Node]:
    yield disturbed
    disturbed.settle()
    for name in sessions(disturbed):
        disturbed.call("sandbox.close", {"owner": OWNER, "session": name})


def consistent(strata: Node) -> bool:
    rows = sessions(strata)
    units = {f"strata-sandbox-{OWNER}-{escape(name)}.scope" for name in rows}
    return scopes(strata) == units and directories(strata) == rows and disks(strata) == (rows if LOOP else set())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1])
def test_whoever_is_killed_nothing_is_left_and_what_lives_is_adopted(cleared: Node, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(ROUNDS):
        load = Load(cleared, seed * 100 + number)
        try:
            threading.Event().wait(chance.uniform(0.2, 0.8))
            kill(cleared, chance.choice(("room", "part", "all", "door", "part", "room")), chance)
            threading.Event().wait(chance.uniform(0.1, 0.5))
        finally:
            load.end()
        cleared.settle()
        until(lambda: consistent(cleared), f"rows, scopes, directories and disks agree after round {number}", 15.0)
        rows = sessions(cleared)
        lost = {name for name, is_open in load.acknowledged.items() if is_open and name not in rows}
        assert not lost, f"round {number}: these were acknowledged as open and are gone: {lost}"
        risen = {name for name, is_open in load.acknowledged.items() if not is_open and name in rows}
        assert not risen, f"round {number}: these were acknowledged as closed and are there: {risen}"
        for name in rows:
            said = cleared.call("sandbox.exec", {"owner": OWNER, "session": name, "command": "echo $((6*7))"})
            assert said["stdout"] == "42\n", (name, said)
        for name in ("sandbox", "api"):
            cleared.call("supervisor.svc.reset", {"name": name})


def test_helpers_of_a_room_that_was_started_anew_hold_none_of_what_systemd_kept_for_it(cleared: Node) -> None:
    """Or pipes, terminals and memory of sessions would stay until the helpers end too."""
    ids = {"owner": OWNER, "session": "held"}
    cleared.call("sandbox.run", {**ids, "argv": ["sleep", "1000"], "background": True})
    cleared.kill("sandbox")
    room = cleared.services()["sandbox"]["pid"]
    children = cleared.manager.run(["cat", f"/proc/{room}/task/{room}/children"]).stdout.split()
    assert len(children) == 2, "the launcher and the gateway"
    for pid in children:
        found = cleared.manager.run(["find", f"/proc/{pid}/fd", "-type", "l", "-printf", "%l\n"]).stdout
        assert "memfd:strata" not in found, found

# SPDX-License-Identifier: MIT
"""Limits of sessions, of owners and of the room (vector 160), each tried by a program that wants more."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bystander import PROMPT_SECONDS, assert_prompt
from cell import Cell, opened
from node import Node, until

OWNER = "limited"
CAP_SYS_RESOURCE = 24
SMALL = {"memory_max": "64M", "tasks_max": 40, "disk_max": "24M", "inodes_max": 600, "files_max": 50}
BOMB = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"


@pytest.fixture(scope="module")
def small(strata: Node) -> Iterator[Cell]:
    """A session that has little."""
    with opened(strata, OWNER, "small", limits=SMALL) as found:
        yield found


@contextlib.contextmanager
def settings(strata: Node, text: str) -> Iterator[None]:
    """The room with these settings, for a while; sessions stay."""
    file = strata.manager.paths.config_dir / "strata.toml"
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\n{text}")
    try:
        strata.call("supervisor.svc.restart", {"name": "sandbox"})
        strata.settle()
        yield
    finally:
        file.write_text(before)
        strata.call("supervisor.svc.restart", {"name": "sandbox"})
        strata.settle()


# --- of a session


@pytest.mark.parametrize("way", ["run", "exec"])
def test_160_a_memory_hog_is_ended_and_told_and_the_session_lives(small: Cell, bystander: Cell, way: str) -> None:
    more: dict[str, Any] = {"argv": ["/usr/bin/tail", "/dev/zero"]} if way == "run" else {"command": "tail /dev/zero"}
    with small.asked(way, **more) as connection:
        assert_prompt(bystander)
        said = connection.reply()["result"]
    assert said["ended"] == "oom", said
    assert small.call("exec", command="echo alive")["output"] == "alive"


def test_160_a_hog_that_forks_is_ended_too(small: Cell, bystander: Cell) -> None:
    """Many small ones, none of which is too large alone."""
    number = small.begin("for i in $(seq 20); do head -c 20M /dev/zero | tail & done; wait")
    assert_prompt(bystander)
    small.call("kill", id=number)
    assert_prompt(small)


def test_160_who_tells_the_end_of_a_command_is_not_what_the_kernel_ends_for_memory(small: Cell) -> None:
    """A keeper is of the session's memory, too, and larger than many small ones that use it up (proc(5))."""
    if not int(re.findall(r"CapEff:\s+(\w+)", Path("/proc/self/status").read_text())[0], 16) >> CAP_SYS_RESOURCE & 1:
        pytest.skip("nobody may spare a process here: CAP_SYS_RESOURCE is missing")
    number = small.begin("sleep 77010")

    def scores() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for pid, place in small.processes_outside().items():
            score = Path(f"/proc/{pid}/oom_score_adj").read_text().strip()
            found.setdefault(place.removeprefix("/").partition("-")[0], set()).add(score)
        return found

    until(lambda: scores().get("run") == {"0"} and scores().get("keepers") == {"-999"}, "the keeper alone is spared")
    small.call("kill", id=number)


@pytest.mark.parametrize("way", ["run", "exec"])
def test_160_a_fork_bomb_stays_within_the_sessions_tasks(strata: Node, bystander: Cell, way: str) -> None:
    """Others are answered meanwhile, and when its time is over nothing of it is left. It has the memory for that many:
    else the kernel would end its first process, sooner or later, and with it the command."""
    argv = ["/usr/bin/python3", "-c", BOMB]
    more: dict[str, Any] = {"argv": argv} if way == "run" else {"command": f"/usr/bin/python3 -c '{BOMB}'"}
    with opened(strata, OWNER, "bombed", limits={**SMALL, "memory_max": "256M"}) as found:
        with found.asked(way, timeout_ms=1500, **more) as connection:
            until(lambda: found.call("usage")["tasks"] > 30, "it has forked")
            assert_prompt(bystander)
            assert found.call("usage")["tasks"] <= SMALL["tasks_max"]
            said = connection.reply()["result"]
        assert said["ended"] == "timeout", said
        until(lambda: found.call("usage")["tasks"] < 10, "nothing of it is left")
        assert_prompt(found)


@pytest.mark.parametrize("background", [False, True])
def test_a_fork_bomb_that_uses_the_memory_up_is_told_as_that(strata: Node, background: bool) -> None:
    """Also where that ends who would have told: its keeper is the largest process of all."""
    with opened(strata, OWNER, "tiny", limits={**SMALL, "memory_max": "24M"}) as found:
        said = found.call("run", argv=["/usr/bin/python3", "-c", BOMB], timeout_ms=1500, background=background)
        if background:
            said = found.call("wait", id=said["id"])
        assert said["ended"] in ("oom", "timeout"), said
        assert said["signal"] == "SIGKILL"


def test_a_fork_bomb_does_not_keep_its_session_from_being_closed(strata: Node) -> None:
    with opened(strata, OWNER, "bomb", limits=SMALL) as found:
        found.call("run", argv=["/usr/bin/python3", "-c", BOMB], background=True)
        until(lambda: found.call("usage")["tasks"] > 30, "it has forked")
        before = time.monotonic()
        found.call("close")
        assert time.monotonic() - before < PROMPT_SECONDS
        assert found.processes_outside() == {}


def test_160_who_fills_the_disk_is_told_that_it_is_full(small: Cell, bystander: Cell) -> None:
    """By blocks and by files; what is removed can be used again."""
    answer = small.tells(
        """
def fill(path):
    with open(path, "wb", buffering=0) as file:
        while True: file.write(bytes(1 << 20))
def files():
    for number in range(5000): open(f"/root/many/{number}", "w").close()
answer = [attempt(fill, "/root/big")]
os.unlink("/root/big"); os.mkdir("/root/many")
answer.append(attempt(files))
answer.append(len(os.listdir("/root/many")) <= 600)
os.system("rm -r /root/many"); open("/root/again", "w").write("x" * 100000)
"""
    )
    assert answer == ["ENOSPC", "ENOSPC", True]
    assert_prompt(bystander)


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/run", "/dev"])
def test_160_what_is_kept_in_memory_is_bounded_by_size_and_number(bystander: Cell, place: str) -> None:
    """Each of the session's file systems in memory, whose pages count as the session's memory."""
    answer = bystander.tells(
        f"""
def fill():
    with open("{place}/big", "wb", buffering=0) as file:
        while True: file.write(bytes(1 << 20))
answer = [attempt(fill), os.statvfs("{place}").f_files]
os.unlink("{place}/big")
"""
    )
    assert answer[0] == "ENOSPC"
    assert 0 < answer[1] <= 262_144


@pytest.mark.parametrize("way", ["run", "exec", "terminal"])
def test_open_files_are_bounded(small: Cell, way: str) -> None:
    code = "import os, resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    if way == "run":
        said = small.run("/usr/bin/python3", "-c", code)["stdout"]
    elif way == "exec":
        said = small.call("exec", command=f"/usr/bin/python3 -c '{code}'")["stdout"]
    else:
        with small.attach(terminal="files", command=f"/usr/bin/python3 -c '{code}'") as screen:
            screen.rest()
            said = screen.text
    assert said.strip() == "(50, 50)"


def test_a_cpu_hog_gets_its_quota_and_others_their_share(strata: Node, bystander: Cell) -> None:
    with opened(strata, OWNER, "cpu", limits={"cpu_quota": "20%"}) as found:
        for _ in range(4):
            found.begin("while :; do :; done")
        assert_prompt(bystander)
        used, at = found.call("usage")["cpu_ms"], time.monotonic()
        until(lambda: time.monotonic() - at > 1.0, "a second has passed")
        share = (found.call("usage")["cpu_ms"] - used) / 1000 / (time.monotonic() - at)
    assert share < 0.4, "of one processor"


def test_hogs_on_every_processor_leave_others_answered(small: Cell, bystander: Cell) -> None:
    """Without a quota too: each session has its share of the time."""
    numbers = [small.begin("while :; do :; done") for _ in range(6)]
    for _ in range(3):
        assert_prompt(bystander)
    for number in numbers:
        small.call("kill", id=number)


@pytest.mark.parametrize("milliseconds", [1, 2, 5, 10])
def test_a_program_is_killed_also_when_it_has_only_just_begun(small: Cell, milliseconds: int) -> None:
    """A time-out that comes before the program is in its cgroup still ends it."""
    before = time.monotonic()
    assert small.run("/bin/sleep", "60", timeout_ms=milliseconds)["ended"] == "timeout"
    ended = small.call("kill", id=small.begin("sleep 60"))
    assert (ended["state"], ended["left"]) == ("ended", 0)
    assert time.monotonic() - before < PROMPT_SECONDS


# --- of an owner, and of the room


@pytest.fixture(scope="module")
def owned(strata: Node, bystander: Cell) -> Iterator[tuple[Cell, Cell]]:
    """Two sessions of an owner who has 96M and 60 tasks for all of them, each of which might have more alone."""
    text = '[sandbox.owner]\nmemory_max = "96M"\ntasks_max = 60\nmax_sessions = 2\n'
    with settings(strata, text), opened(strata, "tenant", "a") as one, opened(strata, "tenant", "b") as two:
        yield one, two


def test_an_owners_memory_is_bounded_whatever_the_sessions(owned: tuple[Cell, Cell], bystander: Cell) -> None:
    """The session alone might have 1 GiB; the other one of the owner lives on."""
    one, two = owned
    assert one.call("describe")["limits"]["memory_max"] == "1G"
    assert one.run("/usr/bin/tail", "/dev/zero")["ended"] == "oom"
    assert_prompt(two)
    assert_prompt(bystander)


def test_an_owners_tasks_are_bounded_and_other_owners_have_theirs(owned: tuple[Cell, Cell], bystander: Cell) -> None:
    one, two = owned
    number = one.call("run", argv=["/usr/bin/python3", "-c", BOMB], background=True)["id"]
    until(lambda: one.call("usage")["tasks"] > 30, "it has forked")
    assert sum(cell.call("usage")["tasks"] for cell in owned) <= 60
    assert_prompt(bystander)
    one.call("kill", id=number)
    assert_prompt(two)


def test_an_owner_has_at_most_so_many_sessions(owned: tuple[Cell, Cell], strata: Node) -> None:
    code, message = strata.refusal("sandbox.create", {"owner": "tenant", "session": "c"})
    assert code == 7
    assert "max sessions of tenant (2) reached" in message
    with opened(strata, "tenant2", "c"):
        pass


def test_124_the_room_has_at_most_so_many_sessions(strata: Node, bystander: Cell) -> None:
    """The next is refused, those that are there can be used, and a closed one makes room."""
    most = strata.call("sandbox.stats")["active_sessions"] + 1
    with settings(strata, f"[sandbox]\nmax_sessions = {most}\n"), opened(strata, OWNER, "last") as last:
        refused = strata.refusal("sandbox.create", {"owner": OWNER, "session": "more"})
        assert refused[0] == 7
        assert f"max sessions ({most}) reached" in refused[1]
        assert_prompt(last)
        assert_prompt(bystander)
        last.call("close")
        with opened(strata, OWNER, "more"):
            pass

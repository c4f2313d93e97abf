# SPDX-License-Identifier: MIT
"""The shell of exec has no process of Strata's beside it; its parent is the launcher, which may stop or die."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cell import Cell
from node import Node

from strata.sandbox.launcher import ends

TOLD = ends.are_told()
ENDS = pytest.mark.parametrize(
    ("command", "expected"),
    [("exit 3", ("exit", 3)), ("exec sh -c 'exit 4'", ("exit", 4)), ("kill -9 $$", ("signal", None))],
)


@pytest.fixture
def cell(strata: Node) -> Iterator[Cell]:
    """A session whose shell was used."""
    found = Cell(strata, "unkept", "one")
    found.call("exec", command="KEPT=1")
    yield found
    found.call("close")


@pytest.fixture
def launcher(strata: Node, cell: Cell) -> int:
    """Its process, as the systemd that runs Strata numbers it."""
    room = strata.services()["sandbox"]["pid"]
    named = "grep -qx strata-launcher /proc/$pid/comm && echo $pid"
    script = f"for pid in $(cat /proc/{room}/task/*/children); do {named}; done"
    (pid,) = strata.manager.run(["sh", "-c", script]).stdout.split()
    return int(pid)


def tell(strata: Node, pid: int, signal: str) -> None:
    assert strata.manager.run(["kill", f"-{signal}", str(pid)]).returncode == 0


def woken(strata: Node, pid: int) -> int:
    """How often a process was given a processor."""
    status = strata.manager.run(["cat", f"/proc/{pid}/status"]).stdout
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


def assert_it_ends(cell: Cell, command: str, expected: tuple[str, int | None]) -> None:
    answer = cell.call("exec", command=command)
    assert (answer["ended"], answer["exit_code"], answer["shell"]) == (*expected, "ended")


def test_no_process_of_stratas_waits_with_a_shell(cell: Cell) -> None:
    """But for where the kernel tells a shell's end to its parent alone: there one does."""
    assert list(cell.processes_outside().values()).count("/keepers") == (0 if TOLD else 1)


@ENDS
def test_how_a_shell_ended_is_told_by_a_later_room_too(
    strata: Node, cell: Cell, command: str, expected: tuple[str, int | None]
) -> None:
    strata.kill("sandbox")
    assert cell.call("exec", command="echo $KEPT")["output"] == "1"
    assert_it_ends(cell, command, expected)


@ENDS
def test_how_a_shell_ended_is_told_though_its_parent_is_stopped(
    strata: Node, cell: Cell, launcher: int, command: str, expected: tuple[str, int | None]
) -> None:
    tell(strata, launcher, "STOP")
    try:
        assert_it_ends(cell, command, expected)
    finally:
        tell(strata, launcher, "CONT")
    assert cell.call("exec", command="echo new$KEPT")["output"] == "new"


@ENDS
def test_how_a_shell_ended_is_told_though_its_parent_has_died(
    strata: Node, cell: Cell, launcher: int, command: str, expected: tuple[str, int | None]
) -> None:
    tell(strata, launcher, "KILL")
    assert cell.call("exec", command="echo $KEPT")["output"] == "1"
    assert_it_ends(cell, command, expected)


def test_a_shell_that_stops_and_goes_on_wakes_nobody_of_stratas(strata: Node, cell: Cell, launcher: int) -> None:
    """A parent is told of each (SIGCHLD), unless it ignores that."""
    before = woken(strata, launcher)
    cell.call("exec", command="(for i in {1..2000}; do kill -STOP $$; kill -CONT $$; done)")
    assert woken(strata, launcher) - before < 100


def test_inside_a_shells_parent_has_no_number(cell: Cell) -> None:
    assert cell.call("exec", command="echo $PPID; kill -0 0 && echo own")["output"] == "0\nown"


def test_a_shell_that_cannot_be_executed_says_why(cell: Cell) -> None:
    cell.call("exec", command="rm /bin; exit")
    said = {cell.refusal("exec", command=":") for _ in range(50)}  # it may be said before who it is
    assert said == {(6, "cannot start a shell in the session: No such file or directory")}

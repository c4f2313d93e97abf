# SPDX-License-Identifier: MIT
"""Sessions that attack what serves them: their shell's pipes, floods, trees made to break whoever looks at them.

Each test ends with another session answering within a bound, and the room as small as it was.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bystander import assert_prompt
from cell import Cell, memory_of, opened
from node import Node, until

OWNER = "hostile"
GROWTH = 64 * 1024 * 1024


@pytest.fixture
def hostile(strata: Node, bystander: Cell) -> Iterator[Cell]:
    """A session for one attack. Afterwards the others are answered as before, and the room has not grown."""
    room = strata.services()["sandbox"]["pid"]
    before = memory_of(strata, "sandbox")
    with opened(strata, OWNER, "one") as found:
        yield found
        assert_prompt(bystander)
    assert strata.services()["sandbox"]["pid"] == room, "the room is another one"
    assert memory_of(strata, "sandbox") < before + GROWTH


# --- the shell

ATTACKS = {
    "garbage": "for f in /proc/$$/fd/*; do head -c 5000 /dev/urandom >$f; done",
    "forged reports": "for f in /proc/$$/fd/1[0-9]; do for n in $(seq 999); do printf '%s 0 0 /\\0' $n >$f; done; done",
    "huge line": "for f in /proc/$$/fd/1[0-9]; do head -c 20000000 /dev/zero | tr '\\0' x >$f & done; wait",
    "flood of ends": "for f in /proc/$$/fd/1[0-9]; do head -c 20000000 /dev/zero >$f & done; wait",
    "closed": "eval exec {1..40}'>&-;'; exec 0<&-",
    "stopped": "kill -STOP $$",
    "no more files": "ulimit -n 3; ls",
    "no more memory": "ulimit -v 1000; ls",
    "swallowed": "cat /proc/$$/fd/1[0-9] & sleep 0.2; cat <&10 & sleep 0.2",
    "traps": "trap '' TERM INT HUP USR1 USR2 EXIT; trap 'while :; do :; done' DEBUG; :",
    "redefined": "eval() { while :; do :; done; }; read() { :; }; printf() { :; }; builtin() { :; }; command() { :; }",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_shell_that_lies_to_the_room_harms_only_its_own_session(hostile: Cell, attack: str) -> None:
    """Whatever is written to the pipes behind its back: an answer comes, and the session can be used or closed."""
    before = time.monotonic()
    hostile.ask("exec", command=ATTACKS[attack], timeout_ms=1500)
    hostile.ask("exec", command="echo still", timeout_ms=1500)
    assert time.monotonic() - before < 12
    assert hostile.sh("echo beside")["stdout"] == "beside\n"


def test_writers_to_the_shells_pipes_that_never_stop_harm_only_their_own_session(
    hostile: Cell, bystander: Cell
) -> None:
    hostile.ask("exec", command="for f in /proc/$$/fd/1[0-9]; do yes 1 0 0 /x >$f & done", timeout_ms=1000)
    for _ in range(3):
        hostile.ask("exec", command="echo x", timeout_ms=300)
        assert_prompt(bystander)


def test_the_end_of_the_first_process_ends_the_session_and_nothing_else(hostile: Cell) -> None:
    """Nobody inside can kill it, but by making it the first to go when memory runs out. Then all of it is gone."""
    hostile.call("close")
    hostile.call("create", limits={"memory_max": "64M"})
    first = hostile.call("describe")["pid"]
    attack = "echo 1000 >/proc/1/oom_score_adj; while :; do tail /dev/zero; done"
    hostile.ask("run", argv=["/bin/sh", "-c", attack], timeout_ms=10_000)

    def over() -> bool:
        reply = hostile.ask("describe")
        return not reply["ok"] or reply["result"]["pid"] != first

    until(over, "the session is forgotten")
    assert hostile.sh("echo another")["stdout"] == "another\n"


# --- floods


def test_a_flood_of_output_is_cut_and_others_are_answered_meanwhile(hostile: Cell, bystander: Cell) -> None:
    """By a shell, by foreground and background runs, by a terminal with a viewer who never reads, all at once."""
    for _ in range(4):
        hostile.begin("yes flood | tee /dev/stderr")
    with (
        hostile.attach(terminal="flood", command="yes flood"),
        hostile.asked("run", argv=["/usr/bin/yes"]),
        hostile.asked("exec", command="yes", timeout_ms=60_000),
    ):
        for _ in range(3):
            assert_prompt(bystander)
    said = hostile.run("/usr/bin/yes", timeout_ms=300)
    assert (said["ended"], said["truncated"]) == ("timeout", True)
    assert len(said["stdout"]) <= 1 << 20


WRITES = "import os\nwhile True: os.write(1, b'a'); os.write(2, b'b')"
REPORTS = """
for f in /proc/$$/fd/1[0-9]; do
    case $(readlink $f) in *report) eval "exec 200>&${f##*/}" ;; esac
done
cat /dev/zero >&200
"""


@pytest.mark.parametrize("command", [f'python3 -c "{WRITES}" & python3 -c "{WRITES}"', REPORTS], ids=["writes", "ends"])
def test_a_flood_of_what_the_room_listens_to_holds_up_nobody(hostile: Cell, bystander: Cell, command: str) -> None:
    """Single bytes to both pipes in turn, each an event of inotify's; and ends of commands that are none: the first
    kept the room's loop for ever, the second half of its time."""
    with hostile.asked("exec", command=command, timeout_ms=4000) as asked:
        for _ in range(3):
            assert_prompt(bystander)
        assert asked.reply()["ok"]


# --- trees

TREE = r"""
import os, socket
os.makedirs("/root/tree"); os.chdir("/root/tree")
open(b"new\nline\n\x1b[31m\xff", "w").write("x")
os.symlink("/etc/shadow", "shadow"); os.symlink("/proc/1/root", "root"); os.symlink("loop", "loop")
os.symlink("x" * 4000, "long"); os.mkfifo("fifo"); socket.socket(socket.AF_UNIX).bind("socket")
with open("sparse", "w") as file: file.truncate(1 << 40)
os.link("sparse", "sparse2")
for number in range(2000): open("%04d" % number + "n" * 240, "w").close()
for _ in range(300):
    os.mkdir("d" * 60); os.chdir("d" * 60)
open("deepest", "w").write("deep")
"""


@pytest.fixture(scope="module")
def tree(strata: Node, bystander: Cell) -> Iterator[Cell]:
    """A session whose files were made to break whoever looks at them."""
    with opened(strata, OWNER, "tree") as found:
        assert found.run("/usr/bin/python3", "-c", TREE)["exit_code"] == 0
        yield found
        assert_prompt(bystander)


def test_a_hostile_tree_is_compared_in_pages_to_its_end(tree: Cell) -> None:
    """Names with newlines, paths longer than any call takes, a sparse file of a terabyte: each is told once."""
    paths, cursor = list[str](), dict[str, str]()
    while True:
        page = tree.call("diff", **cursor)
        paths += [one["path"] for one in page["changes"]]
        if not page.get("next"):
            break
        cursor = {"cursor": page["next"]}
    assert len(paths) == len(set(paths))
    assert sum(path.endswith("n" * 240) for path in paths) == 2000
    assert any("new\nline" in path for path in paths)


def test_a_hostile_tree_is_archived_without_a_file_of_the_host(tree: Cell) -> None:
    """Links are archived as links, a terabyte of nothing as nothing."""
    found = archived(tree, "/root/tree", most=64 << 20)
    assert len(found) < 64 << 20
    with tarfile.open(fileobj=io.BytesIO(found)) as archive:
        members = {member.name.rpartition("tree/")[2]: member for member in archive}
    assert members["sparse"].size == 1 << 40
    assert members["shadow"].issym()
    assert members["root"].issym()
    assert b"root:$" not in found
    assert b"root:*" not in found
    assert "deepest" in {name.rpartition("/")[2] for name in members}


def archived(cell: Cell, path: str, most: int) -> bytes:
    """What export writes into a pipe, until `most` bytes have come; then nobody reads on."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file, cell.asked("export", [writer], path=path) as connection:
        os.close(writer)
        data = file.read(most)
        file.close()
        connection.reply()
    return data


def test_an_archive_that_nobody_reads_to_its_end_is_given_up(tree: Cell, bystander: Cell) -> None:
    tree.sh("head -c 200M /dev/zero >/root/huge")
    assert len(archived(tree, "/root/huge", most=1 << 20)) == 1 << 20
    assert_prompt(bystander)
    tree.sh("rm /root/huge")


def test_a_hostile_tree_can_be_snapshot_and_forked(tree: Cell) -> None:
    """Holes stay holes: the copy is as small as the original."""
    made = tree.call("snapshot", name="hostile")
    try:
        assert made["size"] < 64 << 20
        tree.call("fork", snapshot="hostile", to_session="forked")
        forked = Cell(tree.strata, OWNER, "forked")
        try:
            assert forked.sh("readlink /root/tree/shadow; ls /root/tree | wc -l")["stdout"].split()[0] == "/etc/shadow"
        finally:
            forked.call("close")
    finally:
        tree.call("remove_snapshot", name="hostile")


def test_a_hostile_tree_is_removed_with_its_session(strata: Node, tree: Cell) -> None:
    before = time.monotonic()
    directory = tree.directory
    tree.call("close")
    assert time.monotonic() - before < 5
    assert not directory.exists()
    tree.call("create")


# --- races


def test_a_directory_that_is_swapped_for_a_link_leads_no_work_on_files_out(hostile: Cell, tmp_path: Path) -> None:
    """put, get, move, mkdir, remove and export go through it while it is swapped: nothing of the host is touched."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    (outside / "kept").write_text("host")
    before = _fingerprint(outside)
    hostile.begin(
        f"cd /root; mkdir real; ln -s {outside} a; ln -s /proc/self/root/../../..{outside} b; ln -s /etc c; "
        "while :; do for l in a b c; do mv -T real d; mv -T d real; cp -d $l d; rm -f d; done; done"
    )
    deadline = time.monotonic() + 2.5

    def call(method: str, **params: Any) -> None:
        while time.monotonic() < deadline:
            hostile.ask(method, **params)

    attacks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("put", {"path": "d/planted", "data": "x"}), ("get", {"path": "d/kept"}), ("mkdir", {"path": "d/made/x"}),
        ("remove", {"path": "d", "recursive": True}), ("move", {"from": "d/kept", "to": "taken"}),
        ("list_files", {"path": "d"}), ("export", {"path": "d"}),
    )  # fmt: skip
    threads = [threading.Thread(target=call, args=(method,), kwargs=params) for method, params in attacks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _fingerprint(outside) == before
    assert hostile.sh("ls /root/taken 2>/dev/null; true")["stdout"] == ""


def _fingerprint(top: Path) -> str:
    found = sorted((path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in top.iterdir())
    return hashlib.sha256(repr(found).encode()).hexdigest()

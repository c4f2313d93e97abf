# SPDX-License-Identifier: MIT
"""Files of a session on a real systemd: they come and go whole, and no path, link or race leads out of the session."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from inhabited import Inhabited, events, memory
from node import Node, until

OWNER = "filestest"
INVALID, DENIED, NOT_FOUND, EXHAUSTED, CONFLICT = 1, 3, 4, 7, 8


@pytest.fixture(scope="module")
def box(strata: Node) -> Iterator[Inhabited]:
    """A session with a small disk."""
    found = Inhabited(strata, OWNER, "files")
    found.call("create", limits={"disk_max": "64M", "inodes_max": 8192})
    yield found
    found.call("close")


@pytest.fixture
def top(box: Inhabited) -> Iterator[str]:
    """A directory of the test's own, inside."""
    path = f"/root/{uuid.uuid4().hex}"
    box.call("mkdir", path=path)
    yield path
    box.call("remove", path=path, recursive=True)


def test_what_is_put_is_there_for_commands_and_comes_back_the_same(box: Inhabited, top: str) -> None:
    data = os.urandom(3_000_000)
    told = box.put(f"{top}/f", data, mode="0751", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    assert (told["size"], told["sha256"], told["mode"]) == (len(data), hashlib.sha256(data).hexdigest(), "0751")
    assert box.sh(f"sha256sum < {top}/f; stat -c '%u %g %a' {top}/f").split() == [told["sha256"], "-", "0", "0", "751"]
    assert box.get(f"{top}/f") == data
    assert box.get(f"{top}/f", offset=1_000_000, size=7) == data[1_000_000:1_000_007]


def test_small_files_go_in_and_out_within_the_frame(box: Inhabited, top: str) -> None:
    box.call("put", path=f"{top}/text", data="grüße\n")
    box.call("put", path=f"{top}/bytes", data_b64=base64.b64encode(b"\xff\0").decode())
    assert box.call("get", path=f"{top}/text")["data"] == "grüße\n"
    assert base64.b64decode(box.call("get", path=f"{top}/bytes")["data_b64"]) == b"\xff\0"


def test_the_frame_holds_half_a_megabyte_and_says_when_there_is_more(box: Inhabited, top: str) -> None:
    box.put(f"{top}/big", bytes(600_000))
    told = box.call("get", path=f"{top}/big")
    assert (told["size"], told["eof"], told["total"]) == (524_288, False, 600_000)
    assert box.refusal("get", path=f"{top}/big", size=524_289)[0] == INVALID
    assert box.refusal("put", path=f"{top}/big", data="x" * 524_289)[0] == INVALID


def test_relative_paths_begin_at_the_home(box: Inhabited) -> None:
    box.call("put", path="here", data="x")
    assert box.sh("cat /root/here") == "x"
    box.call("remove", path="here")


def test_listing_moving_and_removing(box: Inhabited, top: str) -> None:
    box.sh(f"cd {top}; mkdir -p a/b; echo x > a/f; ln -s f a/l; mkfifo a/p")
    entries = {one["name"]: one["kind"] for one in box.call("files", path=f"{top}/a")["entries"]}
    assert entries == {"b": "directory", "f": "file", "l": "symlink", "p": "fifo"}
    assert box.call("list_files", path=f"{top}/a") == box.call("files", path=f"{top}/a")
    box.call("move", from_=f"{top}/a", to=f"{top}/c")
    assert box.call("stat", path=f"{top}/c/l")["target"] == "f"
    assert box.refusal("remove", path=f"{top}/c")[0] == CONFLICT
    assert box.call("remove", path=f"{top}/c", recursive=True)["removed"] == 5
    assert box.refusal("stat", path=f"{top}/c")[0] == NOT_FOUND


def test_a_file_of_a_session_that_is_not_open_is_not_found(strata: Node) -> None:
    assert Inhabited(strata, OWNER, "nobody").refusal("get", path="/etc/passwd") == (NOT_FOUND, "session not found")


def test_who_holds_a_token_of_another_owner_gets_no_file(box: Inhabited) -> None:
    token = box.strata.issue(service="sandbox", actions=["files"], owner="somebody-else").token
    params = box.params({"path": "/etc/passwd"})
    for method in ("get", "files", "stat", "remove", "watch", "diff"):
        with box.strata.connect("sandbox") as connection:
            reply = connection.ask(f"sandbox.{method}", params, token=token)
        assert reply["error"]["code"] == DENIED, method


# --- nothing half done


def test_a_full_disk_is_told_and_nothing_is_left(box: Inhabited, top: str) -> None:
    box.call("put", path=f"{top}/f", data="before")
    free = int(box.sh("stat -f -c %a /root"))
    read, write = os.pipe()
    feeder = threading.Thread(target=feed_until_refused, args=(write,))
    feeder.start()
    code, message = box.refusal("put", read, path=f"{top}/f")
    os.close(read)
    feeder.join()
    assert (code, "disk is full" in message) == (EXHAUSTED, True), message
    assert box.sh(f"ls -A {top}; cat {top}/f").split() == ["f", "before"]
    until(lambda: int(box.sh("stat -f -c %a /root")) >= free - 64, "the blocks are free again")


def feed_until_refused(fd: int) -> None:
    try:
        while True:
            os.write(fd, bytes(1 << 20))
    except BrokenPipeError:
        os.close(fd)


def test_what_cannot_fit_is_refused_before_it_comes(box: Inhabited, top: str) -> None:
    with memory(b"x") as fd:
        assert box.refusal("put", fd, path=f"{top}/f", size=1 << 40)[0] == EXHAUSTED


def test_a_caller_who_hangs_up_leaves_the_file_as_it_was(box: Inhabited, top: str) -> None:
    box.call("put", path=f"{top}/f", data="before")
    until(lambda: box.workers() == 0, "who wrote it has ended")
    read, write = os.pipe()
    with box.asked("put", read, path=f"{top}/f"):
        os.close(read)
        os.write(write, b"half of it")
        until(lambda: box.workers() == 1, "somebody reads the pipe")
    until(lambda: box.workers() == 0, "nobody reads the pipe any more")
    os.close(write)
    assert box.sh(f"ls -A {top}; cat {top}/f").split() == ["f", "before"]


def test_a_reader_of_a_file_that_is_being_replaced_sees_one_or_the_other(box: Inhabited, top: str) -> None:
    first, second = b"1" * 200_000, b"2" * 200_000
    box.put(f"{top}/f", first)
    box.background(
        f"cd {top}; while [ -e f ]; do tr -d '\\n' < f | fold -w 200000 | cut -c1,100000,200000; done > seen"
    )
    for _ in range(10):
        box.put(f"{top}/f", second)
        box.put(f"{top}/f", first)
    seen = set(box.sh(f"rm {top}/f; cat {top}/seen").split())
    assert seen
    assert seen <= {"111", "222"}


# --- nothing leads out


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory of the machine's that no session should ever see."""
    path = Path(f"/tmp/strata-outside-{uuid.uuid4().hex}")
    path.mkdir(0o777)
    path.chmod(0o777)
    (path / "secret").write_text("secret")
    yield path
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


@pytest.mark.parametrize(
    "way",
    [
        "{out}/secret",
        "../../../../../..{out}/secret",
        "/proc/self/root{out}/secret",
        "/proc/1/root{out}/secret",
        "/proc/self/cwd/../..{out}/secret",
        "{top}/link/secret",
        "{top}/climb/secret",
        "{top}/magic{out}/secret",
    ],
)
def test_no_path_leads_to_the_machines_files(box: Inhabited, top: str, outside: Path, way: str) -> None:
    box.sh(f"ln -s {outside} {top}/link; ln -s ../../../../..{outside} {top}/climb; ln -s /proc/1/root {top}/magic")
    path = way.format(out=outside, top=top)
    for method, given in (("get", {}), ("put", {"data": "x"}), ("remove", {}), ("files", {}), ("watch", {})):
        code, message = box.refusal(method, path=path, **given)
        assert code in (INVALID, DENIED, NOT_FOUND), (method, message)
    assert box.refusal("move", from_=path, to=f"{top}/stolen")[0] in (DENIED, NOT_FOUND)
    box.call("put", path=f"{top}/x", data="x")
    assert box.refusal("move", from_=f"{top}/x", to=path)[0] in (DENIED, NOT_FOUND)
    assert sorted(file.name for file in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"


def test_a_link_swapped_during_put_and_get_leads_nowhere(box: Inhabited, top: str, outside: Path) -> None:
    """The sandbox changes a directory into a link to the machine's, as fast as it can, while files come and go."""
    box.sh(f"cd {top}; touch go; mkdir d; echo inside > d/secret; ln -s {outside} l")
    box.background(f"cd {top}; while [ -e go ]; do mv d t; mv -T l d; mv -T d l; mv t d; done")
    deadline = time.monotonic() + 3
    seen: set[str] = set()
    while time.monotonic() < deadline:
        reply = box.ask("put", path=f"{top}/d/new", data="x")
        assert reply["ok"] or reply["error"]["code"] in (INVALID, DENIED, NOT_FOUND, CONFLICT), reply
        reply = box.ask("get", path=f"{top}/d/secret")
        seen.add(reply["result"]["data"] if reply["ok"] else "refused")
    assert seen == {"inside\n", "refused"}
    assert sorted(file.name for file in outside.iterdir()) == ["secret"]


@pytest.mark.parametrize(
    ("path", "codes"),
    [
        ("/proc/1/environ", (DENIED,)),
        ("/proc/1/mem", (DENIED, INVALID)),
        ("/proc/sys/kernel/core_pattern", (DENIED,)),
        ("/sys/kernel/uevent_helper", (DENIED, NOT_FOUND)),
        ("/dev/null", (INVALID, CONFLICT)),
        ("/dev/tty", (INVALID, CONFLICT)),
        ("/proc/1/fd/0", (DENIED, INVALID)),
        ("a\0b", (INVALID,)),
        ("n" * 256, (INVALID,)),
        ("x/" * 2049, (INVALID,)),
        ("", (INVALID,)),
        ("/", (INVALID,)),
        ("/..", (INVALID,)),
    ],
)
def test_what_is_no_file_is_refused(box: Inhabited, path: str, codes: tuple[int, ...]) -> None:
    assert box.refusal("get", path=path)[0] in codes
    assert box.refusal("put", path=path, data="x")[0] in (*codes, DENIED)


def test_the_hosts_programs_cannot_be_written(box: Inhabited) -> None:
    for method, given in (("put", {"data": "x"}), ("mkdir", {})):
        code, message = box.refusal(method, path="/usr/bin/strata-test", **given)
        assert (code, "read-only" in message) == (DENIED, True), message
    assert box.refusal("remove", path="/usr/bin/env")[0] == DENIED
    assert not Path("/usr/bin/strata-test").exists()
    assert Path("/usr/bin/env").exists()


@pytest.mark.timeout(30)
def test_fifos_and_sockets_block_nobody(box: Inhabited, top: str) -> None:
    box.sh(f"mkfifo {top}/fifo")
    for method, given in (("get", {}), ("put", {"data": "x"}), ("files", {}), ("watch", {})):
        assert box.refusal(method, path=f"{top}/fifo", **given)[0] in (INVALID, CONFLICT), method


def test_a_name_with_a_newline_and_one_that_is_not_utf8(box: Inhabited, top: str) -> None:
    box.call("put", path=f"{top}/a\nb", data="x")
    raw = base64.b64encode(top.encode() + b"/\xff").decode()
    box.call("put", path_b64=raw, data="y")
    entries = box.call("files", path=top)["entries"]
    assert [one["name"] for one in entries] == ["a\nb", "\ufffd"]
    assert base64.b64decode(entries[1]["name_b64"]) == b"\xff"
    assert box.call("get", path_b64=raw)["data"] == "y"


def test_remove_follows_no_link_out_of_the_tree(box: Inhabited, top: str) -> None:
    box.sh(f"cd {top}; mkdir -p kept/d gone; ln -s ../kept gone/link; ln -s / gone/root")
    box.call("remove", path=f"{top}/gone", recursive=True)
    assert box.call("stat", path=f"{top}/kept/d")["kind"] == "directory"


# --- watching


def test_changes_that_commands_make_are_told_as_they_happen(box: Inhabited, top: str) -> None:
    with box.asked("watch", path=top, recursive=True) as connection:
        told = events(connection)
        assert next(told)["event"] == "watching"
        box.sh(f"cd {top}; mkdir d; sleep 0.1; echo x > d/f; mv d/f d/g; rm d/g")
        seen = [(one["event"], os.path.basename(one["path"])) for one in (next(told) for _ in range(5))]
    assert seen == [("created", "d"), ("created", "f"), ("modified", "f"), ("moved", "g"), ("removed", "g")]
    until(lambda: box.workers() == 0, "the watch ended with its caller")


def test_callers_who_work_on_files_at_once_are_bounded(box: Inhabited, top: str) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            connection = stack.enter_context(box.asked("watch", path=top))
            assert next(events(connection))["event"] == "watching"
        assert box.refusal("stat", path=top)[0] == EXHAUSTED
        assert box.sh("echo commands go on") == "commands go on\n"
    until(lambda: box.workers() == 0, "all watches ended with their callers")
    assert box.call("stat", path=top)["kind"] == "directory"


def test_a_frozen_session_still_gives_its_files(box: Inhabited, top: str) -> None:
    box.call("put", path=f"{top}/f", data="x")
    box.call("freeze")
    try:
        assert box.call("get", path=f"{top}/f")["data"] == "x"
    finally:
        box.call("thaw")


def test_who_touched_what_is_in_the_journal(box: Inhabited, top: str) -> None:
    box.call("put", path=f"{top}/f", data="x")
    found = until(
        lambda: box.strata.manager.journal("STRATA_EVENT=sandbox.put", f"STRATA_RESOURCE={top}/f"), "it is recorded"
    )
    assert found[0]["STRATA_SESSION"] == f"{OWNER}/files"

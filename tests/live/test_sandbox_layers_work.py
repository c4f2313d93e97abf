# SPDX-License-Identifier: MIT
"""What sessions changed, archives of them, snapshots and forks, on a real systemd with real overlays."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import box as sessions
import pytest
from inhabited import Inhabited, unpacked
from node import Node, until

from strata.sandbox.launcher.works import WORKS

OWNER = "layerstest"
INVALID, DENIED, NOT_FOUND, EXHAUSTED, CONFLICT = 1, 3, 4, 7, 8


class Bench:
    """Sessions and snapshots of one owner."""

    def __init__(self, strata: Node) -> None:
        self.strata = strata

    def open(self, session: str, **given: Any) -> Inhabited:
        found = Inhabited(self.strata, OWNER, session)
        found.call("create", **given)
        return found

    def session(self, session: str) -> Inhabited:
        return Inhabited(self.strata, OWNER, session)

    def call(self, method: str, **given: Any) -> Any:
        return self.strata.call(f"sandbox.{method}", {"owner": OWNER, **given})

    def refusal(self, method: str, **given: Any) -> tuple[int, str]:
        return self.strata.refusal(f"sandbox.{method}", {"owner": OWNER, **given})

    def snapshots(self) -> set[str]:
        return {one["name"] for one in self.call("snapshots")["snapshots"]}

    def stored(self) -> list[str]:
        """What lies on the disk under the owner's name, unfinished things too."""
        directory = self.strata.manager.paths.state_dir / "sandbox/snapshots" / OWNER
        return sorted(os.listdir(directory)) if directory.exists() else []

    def clear(self) -> None:
        for one in self.call("list")["sessions"]:
            self.call("close", session=one["session"])
        while names := self.snapshots():
            for name in names:
                self.strata.ask("sandbox.remove_snapshot", {"owner": OWNER, "name": name})


@pytest.fixture
def bench(strata: Node) -> Iterator[Bench]:
    """Nothing of the owner is left, on the disk neither."""
    found = Bench(strata)
    yield found
    found.clear()
    assert found.stored() == []


def archive(box: Inhabited, **given: Any) -> tuple[Any, bytes]:
    """What export answers, and the archive, through a pipe."""
    read, write = os.pipe()
    parts: list[bytes] = []

    def drain() -> None:
        with os.fdopen(read, "rb") as pipe:
            parts.append(pipe.read())

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        told = box.call("export", write, **given)
    finally:
        os.close(write)
        reader.join()
    assert (told["size"], told["sha256"]) == (len(parts[0]), hashlib.sha256(parts[0]).hexdigest())
    return told, parts[0]


# --- diff


@pytest.mark.parametrize("driver", ["kernel", "fuse"])
def test_every_kind_of_change_is_told(bench: Bench, driver: str) -> None:
    box = bench.open(f"diff-{driver}", driver=driver)
    if box.call("describe")["driver"] != driver:
        pytest.skip(f"the overlay driver {driver} does not work on this machine")
    assert box.changes() == {}
    box.sh("echo x > /root/new; mkdir -p /srv/a; ln -s x /srv/a/l; echo more >> /etc/hosts; rm /etc/shells")
    box.sh("chmod 700 /opt; touch -r /etc/group /tmp/t; : >> /etc/group; rm -r /var/log; mkdir /var/log; rmdir /mnt")
    assert box.changes() == {
        "/etc/hosts": "modified",
        "/etc/shells": "removed",
        "/mnt": "removed",
        "/opt": "modified*",
        "/root/new": "added",
        "/srv/a": "added",
        "/srv/a/l": "added",
    }


def test_without_an_overlay_the_home_is_what_can_change(bench: Bench) -> None:
    box = bench.open("plain", driver="none")
    box.sh("echo x > /root/new; echo y > /srv/lost")
    assert box.changes().get("/root/new") == "added"
    assert "/srv/lost" not in box.changes()


def test_a_long_diff_comes_in_pages(bench: Bench) -> None:
    box = bench.open("pages")
    box.sh(
        "for i in $(seq 60); do mkdir /root/$i; cd /root/$i; seq -f 'a-long-name-of-file-%05g' 150 | xargs touch; done"
    )
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = box.call("diff", cursor=cursor) if cursor else box.call("diff")
        seen += [one["path"] for one in page["changes"]]
        cursor, pages = page.get("next"), pages + 1
    assert (len(seen), len(set(seen)), pages > 1) == (60 * 151, 60 * 151, True)


# --- export


def test_an_archive_of_all_has_what_the_session_sees(bench: Bench, tmp_path: Path) -> None:
    box = bench.open("whole")
    box.sh("echo data > /root/f; chmod 750 /root/f; rm /etc/shells; mkdir /srv/d; ln /root/f /srv/d/same")
    told, data = archive(box)
    assert told["complete"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
    assert "etc/passwd" in members
    assert "etc/shells" not in members
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert not [name for name in members if name.startswith(("usr/bin/", "proc/", "dev/"))]
    out = unpacked(data, tmp_path / "out")
    assert (out / "root/f").read_text() == "data\n"
    assert (out / "root/f").stat().st_mode & 0o777 == 0o750
    assert (out / "srv/d/same").samefile(out / "root/f")


def test_an_archive_of_a_path_holds_what_is_below_it(bench: Bench, tmp_path: Path) -> None:
    box = bench.open("part")
    box.sh(
        "mkdir -p /root/p/q; echo 1 > /root/p/q/f; ln -s p /root/link; echo 2 > /tmp/t; truncate -s 1T /root/p/sparse"
    )
    for path in ("p", "/root/p", "/root/link/."):
        if path.endswith("."):
            assert box.refusal("export", 1, path=path)[0] == INVALID
            continue
        out = unpacked(archive(box, path=path)[1], tmp_path / path.replace("/", "_"))
        assert sorted(str(file.relative_to(out)) for file in out.rglob("*")) == ["q", "q/f", "sparse"]
    assert (unpacked(archive(box, path="/tmp/t")[1], tmp_path / "one") / "t").read_text() == "2\n"


def test_an_archive_of_changes_is_a_layer(bench: Bench) -> None:
    box = bench.open("layer")
    box.sh("echo x > /root/new; rm /etc/shells; rm -r /var/cache; mkdir /var/cache; touch /var/cache/f")
    with tarfile.open(fileobj=io.BytesIO(archive(box, changes=True)[1])) as tar:
        names = set(tar.getnames())
    assert {"root/new", "etc/.wh.shells", "var/cache/.wh..wh..opq", "var/cache/f"} <= names
    assert "etc/passwd" not in names


@pytest.mark.parametrize("path", ["/proc/1/root", "../../../../etc/machine-id", "/root/out/etc/machine-id", "/nowhere"])
def test_no_archive_has_files_of_the_machine(bench: Bench, path: str) -> None:
    box = bench.open("within")
    box.sh("ln -s / /root/out; ln -s /proc/self/root /root/magic")
    read, write = os.pipe()
    code, _ = box.refusal("export", write, path=path)
    os.close(read)
    os.close(write)
    assert code in (DENIED, NOT_FOUND)


def test_a_reader_that_goes_away_ends_the_archive(bench: Bench) -> None:
    box = bench.open("gone")
    box.sh("head -c 30000000 /dev/zero > /root/big")
    read, write = os.pipe()
    os.close(read)
    assert not box.call("export", write)["complete"]
    os.close(write)


# --- snapshots


def test_a_session_from_a_snapshot_begins_where_that_was_and_goes_its_own_way(bench: Bench) -> None:
    box = bench.open("first")
    box.sh("echo one > /root/f; rm /etc/shells; chmod 711 /srv; rm -r /var/log; mkdir /var/log")
    taken = box.call("snapshot", name="base")
    assert (taken["name"], taken["session"], taken["parents"]) == ("base", "first", [])
    box.sh("echo changed > /root/f")
    second = bench.open("second", from_snapshot="base")
    assert second.sh("cat /root/f; ls /etc/shells /var/log 2>/dev/null; stat -c '%a %u' /srv").split() == [
        *("one", "/var/log:", "711", "0")
    ]
    assert second.changes() == {}
    second.sh("echo two > /root/f; rm -r /root/.x 2>/dev/null; echo 3 > /root/g")
    assert second.changes() == {"/root/f": "modified", "/root/g": "added"}
    assert bench.open("third", from_snapshot="base").sh("cat /root/f") == "one\n"


def test_snapshots_are_stacked_and_held_by_what_stands_on_them(bench: Bench) -> None:
    bench.open("a").sh("echo a > /root/a; echo a > /root/gone")
    bench.session("a").call("snapshot", name="s1")
    bench.open("b", from_snapshot="s1").sh("echo b > /root/b; rm /root/gone")
    assert bench.session("b").call("snapshot", name="s2")["parents"] == ["s1"]
    assert bench.open("c", from_snapshot="s2").sh("cd /root; ls") == "a\nb\n"
    for name in ("s1", "s2"):
        code, message = bench.refusal("remove_snapshot", name=name)
        assert (code, "stand on it" in message) == (CONFLICT, True)
    for session in "abc":
        bench.call("close", session=session)
    assert bench.refusal("remove_snapshot", name="s1")[0] == CONFLICT
    bench.call("remove_snapshot", name="s2")
    bench.call("remove_snapshot", name="s1")
    assert bench.snapshots() == set()


def test_names_of_snapshots_are_taken_once_and_lead_nowhere(bench: Bench) -> None:
    box = bench.open("names")
    box.call("snapshot", name="s")
    assert box.refusal("snapshot", name="s")[0] == CONFLICT
    for name in ("../x", ".x", "", "a/b", "x\0", "n" * 65):
        assert box.refusal("snapshot", name=name)[0] == INVALID
        assert bench.refusal("remove_snapshot", name=name)[0] == INVALID
    assert bench.refusal("remove_snapshot", name="t")[0] == NOT_FOUND
    assert bench.refusal("create", session="x", from_snapshot="t")[0] == NOT_FOUND


def test_a_snapshot_belongs_to_its_owner(bench: Bench, strata: Node) -> None:
    bench.open("mine").call("snapshot", name="private")
    answer = strata.refusal("sandbox.create", {"owner": "other", "session": "x", "from_snapshot": "private"})
    assert answer[0] == NOT_FOUND
    token = strata.issue(service="sandbox", actions=["list", "create"], owner="other").token
    for method in ("snapshots", "remove_snapshot"):
        reply = strata.ask(f"sandbox.{method}", {"owner": OWNER, "name": "private"}, token=token)
        assert reply["error"]["code"] == DENIED


def test_processes_stand_still_while_a_snapshot_is_taken_and_go_on(bench: Bench) -> None:
    """Two files that a program always writes one after the other differ by one at most."""
    box = bench.open("busy")
    box.background("cd /root; while :; do echo >> a; echo >> b; done")
    box.sh("head -c 20000000 /dev/urandom > /root/big")
    box.call("snapshot", name="moment")
    first, second = map(int, bench.open("seen", from_snapshot="moment").sh("cd /root; stat -c %s a b").split())
    assert first - second in (0, 1)
    before = int(box.sh("stat -c %s /root/b"))
    until(lambda: int(box.sh("stat -c %s /root/b")) > before, "the program goes on")


# --- forks


def test_a_fork_of_a_live_session_leaves_nothing_behind_when_both_are_gone(bench: Bench) -> None:
    box = bench.open("origin", env={"GIVEN": "yes"}, limits={"tasks_max": 77})
    box.sh("echo x > /root/f")
    made = box.call("fork", to_session="twin", labels={"kind": "twin"})
    assert (made["session"], made["labels"], made["limits"]["tasks_max"]) == ("twin", {"kind": "twin"}, 77)
    twin = bench.session("twin")
    assert twin.sh("cat /root/f; echo $GIVEN") == "x\nyes\n"
    assert len(bench.stored()) == 1
    bench.call("close", session="origin")
    assert twin.sh("cat /root/f") == "x\n"
    further = twin.call("fork", to_session="further")["session"]
    bench.call("close", session="twin")
    assert bench.session(further).sh("cat /root/f") == "x\n"
    bench.call("close", session=further)
    assert bench.stored() == []


def test_a_fork_of_a_snapshot_needs_no_session(bench: Bench) -> None:
    bench.open("origin").sh("echo x > /root/f")
    bench.session("origin").call("snapshot", name="s")
    bench.call("close", session="origin")
    bench.call("fork", snapshot="s", to_session="new")
    assert bench.session("new").sh("cat /root/f") == "x\n"
    assert bench.refusal("fork", snapshot="s", to_session="new")[0] == CONFLICT


def test_what_a_killed_room_left_unfinished_is_cleared_up(bench: Bench, disturbed: Node) -> None:
    box = bench.open("survivor")
    box.sh("for i in $(seq 200); do head -c 100000 /dev/urandom > /root/$i; done")
    with box.asked("snapshot", name="never"):
        until(bench.stored, "the snapshot has begun")
        disturbed.kill("sandbox")
    disturbed.settle()
    assert bench.stored() in ([], ["never"])
    assert box.sh("ls /root | wc -l").strip() == "200"
    assert box.call("describe")["state"] == "open"


# --- without privileges


def test_an_ordinary_user_has_diffs_archives_and_snapshots_of_his_own(tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o711)
    mine: dict[str, Any] = {"uid": 1234, "mapped": False, "uid_base": 1234}
    taken, out = tmp_path / "state/taken", tmp_path / "state/out.tar"
    (taken / "upper").mkdir(parents=True)
    for path in (taken.parent, taken, taken / "upper"):
        os.chown(path, 1234, 1234)
    with sessions.opened(tmp_path / "state/sessions/o/one", **mine) as first:
        first.out(
            "echo hello > /root/f; rm /etc/hosts; rm -r /etc/alternatives; mkdir /etc/alternatives; chmod 711 /srv"
        )
        told = work(first, "diff")["changes"]
        assert {"/root/f", "/etc/hosts", "/srv"} <= {one["path"] for one in told}
        hidden = next(one["path"] for one in told if one["path"].startswith("/etc/alternatives/"))
        assert work(first, "snapshot", taken / "upper", most_bytes=1 << 30)["files"] > 4
        assert work(first, "export", out)["complete"]
    with tarfile.open(out) as tar:
        assert {(member.uid, member.gid) for member in tar if member.name == "root/f"} == {(0, 0)}
    with sessions.opened(tmp_path / "state/sessions/o/two", layers=[str(taken)], **mine) as second:
        assert second.out("cat /root/f; ls /etc/hosts /etc/alternatives 2>/dev/null; stat -c %a /srv").split() == [
            *("hello", "/etc/alternatives:", "711")
        ]
        assert work(second, "diff")["changes"] == []
        second.out(f"touch {hidden}")  # where the host has one, below the opaque directory of the snapshot
        assert [(one["path"], one["kind"]) for one in work(second, "diff")["changes"]] == [(hidden, "added")]


def work(box: sessions.Box, name: str, sink: Path | None = None, **more: Any) -> Any:
    """As the launcher has it done, outside, as the user whose session it is."""

    def do() -> Any:
        flags = os.O_RDONLY | os.O_DIRECTORY if sink and sink.is_dir() else os.O_WRONLY | os.O_CREAT
        fds = [os.open(sink, flags, 0o600)] if sink else []
        return WORKS[name]({"root": box.plan, "init_pid": box.init, **more}, fds)

    return box.look(do)

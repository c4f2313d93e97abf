# SPDX-License-Identifier: MIT
"""The layers of a living session, seen from outside: ids as inside, one file system; snapshots as layers of others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import box
import pytest
from box import BASE, Box
from devices import needs_loop

from strata.sandbox.layers import erase, image, view

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to build roots of sessions")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A directory of sessions, erased afterwards as theirs are."""
    yield tmp_path
    for each in tmp_path.glob("sessions/owner/*"):
        erase.tree(str(each))


@pytest.fixture
def session(state: Path) -> Iterator[Box]:
    """A session with some changes: a file, one that is gone, and a directory in the place of another."""
    with box.opened(state / "sessions/owner/one") as found:
        found.out("echo hello > /root/f; rm /etc/hosts; rm -r /etc/alternatives; mkdir -m 700 /etc/alternatives")
        yield found


def seen(session: Box) -> dict[str, Any]:
    """What a worker sees of `session`."""

    def look() -> dict[str, Any]:
        with view.mounted(session.plan, session.init) as found:
            upper = Path(found.upper)
            return {
                **found._asdict(),
                "owner": (upper / "root/f").stat().st_uid,
                "text": (upper / "root/f").read_text(),
                "gone": stat.S_ISCHR((upper / "etc/hosts").lstat().st_mode),
                "opaque": os.getxattr(upper / "etc/alternatives", "trusted.overlay.opaque").decode(),
                "below": (Path(found.lower) / "etc/hosts").stat().st_uid,
            }

    answer: dict[str, Any] = session.look(look)
    return answer


@needs_loop
def test_a_worker_sees_the_upper_layer_with_ids_as_inside(session: Box) -> None:
    found = seen(session)
    assert (found["owner"], found["text"], found["gone"], found["opaque"]) == (0, "hello\n", True, "y")
    assert found["below"] == found["lower_root"] == BASE
    assert (found["writes"], found["image"]) == ("kernel", f"{session.plan['directory']}/{image.NAME}")


def test_a_worker_of_an_ordinary_user_sees_the_layers_in_memory(tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o711)
    (tmp_path / "state").mkdir()
    with box.opened(tmp_path / "state/sessions/o/s", uid=1234, mapped=False, uid_base=1234) as found:
        found.out("echo hello > /root/f; rm /etc/hosts")

        def look() -> list[Any]:
            with view.mounted(found.plan, found.init) as seen:
                gone = stat.S_ISCHR(Path(seen.upper, "etc/hosts").lstat().st_mode)
                return [Path(seen.upper, "root/f").read_text(), gone, seen.writes, seen.image]

        assert found.look(look) == ["hello\n", True, "kernel-user", ""]


def test_a_worker_sees_what_fuse_writes(state: Path) -> None:
    with box.opened(state / "sessions/owner/fuse", driver="fuse") as found:
        if found.said["driver"] != "fuse":
            pytest.skip(found.said["warnings"][0])
        found.out("echo hello > /root/f; rm /etc/hosts")

        def look() -> list[Any]:
            with view.mounted(found.plan, found.init) as seen:
                upper = Path(seen.upper)
                return [
                    (upper / "root/f").read_text(),
                    (upper / "root/f").stat().st_uid,
                    os.listdir(upper / "etc"),
                    seen.writes,
                ]

        assert found.look(look) == ["hello\n", 0, ["hosts"], "fuse"]


def test_what_a_worker_mounts_and_leaves_is_not_seen_by_the_next(session: Box) -> None:
    assert seen(session) == seen(session)


def test_a_session_that_has_ended_cannot_be_seen(state: Path) -> None:
    with box.opened(state / "sessions/owner/ended") as found:
        pass

    def look() -> None:
        with view.mounted(found.plan, found.init):
            pass

    assert "it has ended" in box.ran(0, look)[1]


def test_another_process_is_not_taken_for_the_session(session: Box) -> None:
    def look() -> None:
        with view.mounted(session.plan, os.getpid()):
            pass

    assert "it has ended" in box.ran(0, look)[1]


def snapshot(session: Box, target: Path) -> None:
    """Copy a session's disk while nobody writes to it."""

    def save() -> bool:
        fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with view.mounted(session.plan, session.init) as found:
            view.save_image(found, fd)
            return view.thaw(found)

    assert session.look(save) is False  # it is not left frozen


@needs_loop
def test_a_snapshot_is_a_layer_of_another_session_under_other_users(session: Box, state: Path) -> None:
    snapshot(session, state / "snap.ext4")
    layers = [str(state / "snap.ext4")]
    with box.opened(state / "sessions/owner/two", layers=layers, uid_base=BASE + 65536) as fork:
        assert fork.out(
            "cat /root/f; ls /etc/hosts 2>/dev/null; ls -A /etc/alternatives; stat -c '%u %a' /etc/alternatives"
        ) == ("hello\n0 700")
        fork.out("echo changed > /root/f")
        assert session.out("cat /root/f") == "hello"
        again = state / "again.ext4"
        snapshot(fork, again)
        with box.opened(
            state / "sessions/owner/three", layers=[str(again), *layers], uid_base=BASE + 2 * 65536
        ) as third:
            assert third.out("cat /root/f; test -e /etc/hosts || echo gone") == "changed\ngone"


@needs_loop
def test_many_sessions_stand_on_one_snapshot_which_nobody_changes(session: Box, state: Path) -> None:
    snap = state / "snap.ext4"
    snapshot(session, snap)
    before = snap.read_bytes()
    for number in range(3):
        with box.opened(state / f"sessions/owner/f{number}", layers=[str(snap)], uid_base=BASE + 65536) as fork:
            fork.out(f"echo {number} > /root/f; rm -r /etc/ssl")
    assert snap.read_bytes() == before


@needs_loop
def test_a_writer_never_tears_a_snapshot(session: Box, state: Path) -> None:
    """Two files are written one after the other; in a copy of one moment the first is never behind the second."""
    program = "i=0; while :; do i=$((i+1)); echo $i > /root/a; sync -f /root/a; echo $i > /root/b; done"
    session.run(f"(setsid sh -c '{program}' > /dev/null 2>&1 &)")
    session.out("while ! test -s /root/b; do :; done")
    snapshot(session, state / "snap.ext4")
    with box.opened(state / "sessions/owner/two", layers=[str(state / "snap.ext4")], uid_base=BASE + 65536) as fork:
        first, second = map(int, fork.out("cat /root/a /root/b").split())
    assert first - second in (0, 1)


@needs_loop
def test_a_snapshot_cannot_be_opened_without_an_overlay(session: Box, state: Path) -> None:
    snapshot(session, state / "snap.ext4")
    with pytest.raises(box.Refused, match="overlay driver none"):
        box.start(state / "sessions/owner/two", driver="none", layers=[str(state / "snap.ext4")])


def test_a_directory_can_be_a_layer(state: Path) -> None:
    layer = state / "layer"
    (layer / "upper/root").mkdir(parents=True)
    (layer / "upper/root/f").write_text("from a directory\n")
    with box.opened(state / "sessions/owner/one", layers=[str(layer)]) as found:
        assert found.out("cat /root/f; stat -c %u /root/f; echo x > /root/f") == "from a directory\n0"
    assert (layer / "upper/root/f").read_text() == "from a directory\n"


def test_many_at_once_get_a_loop_device_each(state: Path) -> None:
    """The kernel offers the same free device to all who ask at the same time."""
    box.end(box.start(state / "sessions/owner/first"))
    program = "import sys; sys.path[:0] = %r; import box, pathlib; box.end(box.start(pathlib.Path(sys.argv[1])))"
    argv = [sys.executable, "-c", program % sys.path]
    running = [subprocess.Popen([*argv, str(state / f"sessions/owner/m{n}")]) for n in range(16)]
    assert [each.wait() for each in running] == [0] * 16


# --- removing


def test_erasing_follows_no_link_and_needs_no_rights(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    doomed = tmp_path / "doomed"
    (doomed / "a/b").mkdir(parents=True)
    (doomed / "a/link").symlink_to(kept)
    (doomed / "a/b/file").write_text("x")
    os.mkfifo(doomed / "a/fifo")
    (doomed / "a/b").chmod(0)
    os.chown(doomed / "a/b/file", BASE, BASE)
    erase.tree(str(doomed))
    erase.tree(str(doomed))  # once more is fine
    assert sorted(tmp_path.rglob("*")) == [kept, kept / "file"]


def test_erasing_a_link_removes_the_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    erase.tree(str(tmp_path / "link"))
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]

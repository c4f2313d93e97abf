# SPDX-License-Identifier: MIT
"""Work on files as a worker does it, here on the machine's own tree: what it opens, what it refuses, what it leaves."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from strata.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, StrataError, Unavailable
from strata.sandbox.files import inside, places, removing, transfer


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def put(path: Path | str, data: bytes, **arguments: Any) -> dict[str, Any]:
    """As a caller with a pipe."""
    read, write = os.pipe()
    feeder = threading.Thread(target=_feed, args=(write, data))
    feeder.start()
    try:
        return transfer.put({"path": str(path), **arguments}, [read])
    finally:
        os.close(read)
        feeder.join()


def _feed(fd: int, data: bytes) -> None:
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(fd)


def get(path: Path | str, **arguments: Any) -> tuple[dict[str, Any], bytes]:
    """As a caller with a file of his own."""
    fd = os.memfd_create("got")
    try:
        told = transfer.get({"path": str(path), **arguments}, [fd])
        return told, os.pread(fd, 1 << 26, 0)
    finally:
        os.close(fd)


# --- where a path leads


def test_a_relative_path_begins_at_the_home_of_root() -> None:
    assert places.path({"path": "a/b"}) == b"/root/a/b"


@pytest.mark.parametrize(
    "arguments", [{}, {"path": ""}, {"path": "a\0b"}, {"path_b64": "!"}, {"path_b64": "é"}, {"path": "\ud800"}]
)
def test_what_is_no_path_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        places.path(arguments)


@pytest.mark.parametrize(
    "path",
    ["/proc/self/status", "/proc/version", "/sys/kernel/uevent_seqnum", "/proc/self/root/etc/hostname", "/proc/1/root"],
)
def test_interfaces_of_the_kernel_are_no_stored_files(path: str) -> None:
    with pytest.raises(StrataError) as refused:
        get(path)
    assert isinstance(refused.value, PermissionDenied | InvalidArgument)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"])
def test_devices_are_neither_read_nor_written(path: str) -> None:
    with pytest.raises(InvalidArgument, match="it is a device"):
        get(path)
    with pytest.raises(Conflict, match="a device is there"):
        put(path, b"x")
    assert stat.S_ISCHR(os.stat(path).st_mode)


@pytest.mark.timeout(5)
def test_a_fifo_is_refused_without_waiting_for_its_other_end(fifo: Path) -> None:
    with pytest.raises(InvalidArgument, match="it is a fifo"):
        get(fifo)
    with pytest.raises(Conflict, match="a fifo is there"):
        put(fifo, b"x")
    with pytest.raises(InvalidArgument, match="it is a fifo"):
        inside.listing({"path": str(fifo)}, [])


@pytest.mark.timeout(5)
def test_a_name_that_is_a_file_and_a_fifo_by_turns_blocks_nobody(tmp_path: Path) -> None:
    name, file, other = tmp_path / "name", tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"data")
    os.mkfifo(other)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for source in (file, other):
                os.link(source, tmp_path / "new")
                os.rename(tmp_path / "new", name)
                if name.exists() and (tmp_path / "new").exists():  # rename(2) of two links of one file does nothing
                    os.unlink(tmp_path / "new")

    swapper = threading.Thread(target=swap)
    os.link(file, name)
    swapper.start()
    try:
        seen = set()
        for _ in range(300):
            try:
                seen.add(get(name)[1])
            except StrataError:
                seen.add(b"refused")
    finally:
        stop.set()
        swapper.join()
    assert seen <= {b"data", b"refused"}


# --- stat and list


def test_stat_tells_of_a_link_itself_and_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    told = inside.stat({"path": str(tmp_path / "link")}, [])
    assert (told["kind"], told["target"]) == ("symlink", "nowhere")


def test_stat_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    (tmp_path / "f").chmod(0o640)
    told = inside.stat({"path": str(tmp_path / "f")}, [])
    assert (told["kind"], told["size"], told["mode"], told["links"]) == ("file", 5, "0640", 1)


def test_stat_of_what_is_not_there() -> None:
    with pytest.raises(NotFound, match="cannot stat /nowhere: it is not there"):
        inside.stat({"path": "/nowhere"}, [])


def test_list_is_sorted_and_names_that_are_not_utf8_are_whole_in_base64(tmp_path: Path) -> None:
    for name in (b"b", b"a\nb", b"\xff\xfe", b"c" * 255):
        (tmp_path / os.fsdecode(name)).touch()
    entries = inside.listing({"path": str(tmp_path)}, [])["entries"]
    assert [entry["name"] for entry in entries] == ["a\nb", "b", "c" * 255, "\ufffd\ufffd"]
    assert base64.b64decode(entries[3]["name_b64"]) == b"\xff\xfe"


def test_a_file_whose_name_is_not_utf8_is_reached_by_base64(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    assert inside.stat({"path_b64": base64.b64encode(raw).decode()}, [])["size"] == 1


def test_a_long_list_comes_in_pages_that_hold_every_name_once(tmp_path: Path) -> None:
    names = [f"{number:05}-{'n' * 200}" for number in range(3000)]
    for name in names:
        (tmp_path / name).touch()
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = inside.listing({"path": str(tmp_path), "cursor": cursor}, [])
        seen += [entry["name"] for entry in page["entries"]]
        cursor, pages = page.get("next"), pages + 1
    assert seen == names
    assert pages > 1


def test_list_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(InvalidArgument, match="it is a file, not a directory"):
        inside.listing({"path": str(tmp_path / "f")}, [])


# --- mkdir, move, remove


def test_mkdir_makes_those_above_only_when_asked(tmp_path: Path) -> None:
    deep = str(tmp_path / "a/b/c")
    with pytest.raises(NotFound):
        inside.mkdir({"path": deep}, [])
    assert inside.mkdir({"path": deep, "parents": True}, [])["created"]
    assert not inside.mkdir({"path": deep, "parents": True}, [])["created"]
    with pytest.raises(Conflict, match="it is there already"):
        inside.mkdir({"path": deep}, [])


def test_move_replaces_a_file_unless_told_not_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    arguments = {"from": str(tmp_path / "a"), "to": str(tmp_path / "b")}
    with pytest.raises(Conflict, match="it is there already"):
        inside.move({**arguments, "replace": False}, [])
    inside.move(arguments, [])
    assert (tmp_path / "b").read_text() == "new"


def test_move_never_replaces_a_directory_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "full/inner").mkdir(parents=True)
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").touch()
    for source, why in (("dir", "not empty"), ("file", "directory")):
        with pytest.raises(Conflict, match=why):
            inside.move({"from": str(tmp_path / source), "to": str(tmp_path / "full")}, [])
    with pytest.raises(Conflict, match="no directory"):
        inside.move({"from": str(tmp_path / "dir"), "to": str(tmp_path / "file")}, [])
    with pytest.raises(InvalidArgument, match="into itself"):
        inside.move({"from": str(tmp_path / "full"), "to": str(tmp_path / "full/inner/x")}, [])


def test_move_moves_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    inside.move({"from": str(tmp_path / "link"), "to": str(tmp_path / "moved")}, [])
    assert (tmp_path / "moved").is_symlink()
    assert (tmp_path / "target").exists()


@pytest.mark.parametrize("path", ["/", "//", "/.", "/tmp/..", "."])
def test_the_root_and_what_ends_in_no_name_is_not_removed(path: str) -> None:
    with pytest.raises(InvalidArgument, match="must end in a name"):
        removing.remove({"path": path, "recursive": True}, [])


def test_remove_takes_a_tree_only_when_asked(tmp_path: Path) -> None:
    (tmp_path / "top/a").mkdir(parents=True)
    (tmp_path / "top/f").touch()
    with pytest.raises(Conflict, match="not empty; ask for `recursive`"):
        removing.remove({"path": str(tmp_path / "top")}, [])
    assert removing.remove({"path": str(tmp_path / "top"), "recursive": True}, [])["removed"] == 3
    assert not (tmp_path / "top").exists()


def test_remove_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept/inner").mkdir(parents=True)
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "kept")
    (tmp_path / "direct").symlink_to(tmp_path / "kept")
    removing.remove({"path": str(tmp_path / "top"), "recursive": True}, [])
    removing.remove({"path": str(tmp_path / "direct"), "recursive": True}, [])
    assert (tmp_path / "kept/inner").is_dir()


def test_a_tree_deeper_than_any_path_is_removed(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("directory", dir_fd=fd)
        below = os.open("directory", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert removing.remove({"path": str(tmp_path / "directory"), "recursive": True}, [])["removed"] == 3000


# --- put


def test_put_tells_size_and_hash_of_what_came(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    told = put(tmp_path / "f", data)
    assert (tmp_path / "f").read_bytes() == data
    assert (told["size"], told["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (told["created"], told["mode"]) == (True, "0644")


def test_put_keeps_the_mode_of_what_it_replaces_unless_one_is_given(tmp_path: Path) -> None:
    (tmp_path / "f").touch(0o751)
    (tmp_path / "f").chmod(0o751)
    assert put(tmp_path / "f", b"1")["mode"] == "0751"
    assert put(tmp_path / "f", b"2", mode=0o600)["mode"] == "0600"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


@pytest.mark.parametrize("wrong", [{"size": 4}, {"size": 6}, {"sha256": "0" * 64}])
@pytest.mark.parametrize("nameless", [True, False])
def test_what_did_not_arrive_whole_changes_nothing(
    tmp_path: Path, wrong: dict[str, Any], nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "NAMELESS", nameless and transfer.NAMELESS)
    (tmp_path / "f").write_bytes(b"before")
    with pytest.raises(InvalidArgument, match="nothing is changed"):
        put(tmp_path / "f", b"after", **wrong)
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"before"


@pytest.mark.parametrize("nameless", [True, False])
def test_put_replaces_in_one_step_and_leaves_no_other_name(
    tmp_path: Path, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "NAMELESS", nameless and transfer.NAMELESS)
    for data in (b"one", b"two"):
        put(tmp_path / "f", data)
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == b"two"


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with (tmp_path / "f").open("rb") as reader:
        put(tmp_path / "f", b"new")
        assert reader.read() == b"old"


def test_put_writes_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub/file")
    put(tmp_path / "link", b"x")
    assert (tmp_path / "sub/file").read_bytes() == b"x"
    assert (tmp_path / "link").is_symlink()


def test_put_through_links_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PermissionDenied, match="too many symbolic links"):
        put(tmp_path / "a", b"x")


def test_put_says_that_the_directory_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no/where is not there; make it first"):
        put(tmp_path / "no/where/f", b"x")


def test_put_on_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="a directory is there"):
        put(tmp_path, b"x")
    with pytest.raises(InvalidArgument, match="must end in the file's name"):
        put(f"{tmp_path}/new/", b"x")


def test_put_does_not_write_into_other_names_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    os.link(tmp_path / "a", tmp_path / "b")
    put(tmp_path / "a", b"new")
    assert (tmp_path / "b").read_bytes() == b"old"


@pytest.mark.parametrize("name", ["n" * 256, "a/" * 2100 + "b"])
def test_names_that_are_too_long_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="too long"):
        put(tmp_path / name, b"x")


@pytest.mark.parametrize("fds", [0, 2])
def test_put_takes_one_descriptor(tmp_path: Path, fds: int) -> None:
    with pytest.raises(InvalidArgument, match="give one descriptor"):
        transfer.put({"path": str(tmp_path / "f")}, [0] * fds)


def test_a_descriptor_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(InvalidArgument, match="can be read"):
        transfer.put({"path": str(tmp_path / "f")}, [fd])
    os.close(fd)


def test_a_descriptor_that_does_not_wait_is_waited_for(tmp_path: Path) -> None:
    read, write = os.pipe2(os.O_NONBLOCK)
    feeder = threading.Timer(0.05, lambda: (os.write(write, b"late"), os.close(write)))
    feeder.start()
    assert transfer.put({"path": str(tmp_path / "f")}, [read])["size"] == 4
    feeder.join()
    os.close(read)


# --- get


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    path = tmp_path / "digits"
    path.write_bytes(b"0123456789")
    return path


def test_get_gives_the_whole_file_with_its_hash(digits: Path) -> None:
    told, data = get(digits)
    assert data == b"0123456789"
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert (told["size"], told["total"], told["eof"], told["changed"], told["complete"]) == (10, 10, True, False, True)


@pytest.mark.parametrize(
    ("offset", "size", "expected", "eof"),
    [(0, 3, b"012", False), (3, 3, b"345", False), (8, 5, b"89", True), (10, 1, b"", True), (2**40, 1, b"", True)],
)
def test_get_gives_a_piece(digits: Path, offset: int, size: int, expected: bytes, eof: bool) -> None:
    told, data = get(digits, offset=offset, size=size)
    assert (data, told["size"], told["eof"]) == (expected, len(expected), eof)
    assert told["sha256"] == hashlib.sha256(expected).hexdigest()


def test_a_file_that_grows_meanwhile_ends_where_it_ended_and_that_is_told(digits: Path) -> None:
    read, write = os.pipe()
    digits.write_bytes(b"x" * 3_000_000)
    got: list[bytes] = []

    def drain() -> None:
        with os.fdopen(read, "rb") as pipe:
            got.append(pipe.read(1))
            with digits.open("ab") as file:
                file.write(b"more")
            got.append(pipe.read())

    reader = threading.Thread(target=drain)
    reader.start()
    told = transfer.get({"path": str(digits)}, [write])
    os.close(write)
    reader.join()
    assert (told["size"], told["changed"]) == (3_000_000, True)
    assert len(b"".join(got)) == 3_000_000


def test_a_reader_that_goes_away_ends_it_cleanly(digits: Path) -> None:
    digits.write_bytes(b"x" * 10_000_000)
    read, write = os.pipe()
    os.close(read)
    told = transfer.get({"path": str(digits)}, [write])
    os.close(write)
    assert (told["complete"], told["sha256"]) == (False, "")


def test_get_follows_a_link_to_a_file(digits: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("digits")
    assert get(tmp_path / "link")[1] == b"0123456789"


def test_a_file_in_memory_is_not_filled_at_the_sessions_expense(digits: Path) -> None:
    os.truncate(digits, transfer.MOST_IN_MEMORY + 1)
    with pytest.raises(InvalidArgument, match="pass a pipe"):
        get(digits)
    assert get(digits, size=5)[0]["size"] == 5


def test_a_removal_that_takes_too_long_says_so_and_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (tmp_path / f"top/{number}").mkdir(parents=True)
    monkeypatch.setattr(removing, "SECONDS", 0.0)
    with pytest.raises(Unavailable, match="call again to go on"):
        removing.remove({"path": str(tmp_path / "top"), "recursive": True}, [])
    monkeypatch.undo()
    removing.remove({"path": str(tmp_path / "top"), "recursive": True}, [])
    assert not (tmp_path / "top").exists()


def test_two_who_remove_the_same_tree_do_not_disturb_each_other(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"top/{number}/inner").mkdir(parents=True)
    failures: list[StrataError] = []

    def remove() -> None:
        try:
            removing.remove({"path": str(tmp_path / "top"), "recursive": True}, [])
        except StrataError as error:
            failures.append(error)

    others = [threading.Thread(target=remove) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert not (tmp_path / "top").exists()
    assert {type(failure) for failure in failures} <= {NotFound}

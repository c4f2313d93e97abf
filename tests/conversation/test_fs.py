# SPDX-License-Identifier: MIT
"""fs over its real socket: what a capability reaches, what it never reaches, and what is left when it ends."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rooms import DEADLINE, Issuer, Journal, Served, as_stranger, b64, directory, listening_journal, served

from strata.config import OperatorSettings
from strata.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    StrataError,
    Unauthenticated,
)
from strata.fs import audit, beneath, handlers, handles, listing, reading, writing
from strata.fs.main import opened_room
from strata.fs.room import Room
from strata.fs.threads import PER_FAMILY
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.sockets import frame
from strata.sockets.client import Client
from strata.sockets.server import Server
from strata.systemd.audit import Denials

ISSUER = Issuer()
RIGHTS = ("fs.open", "fs.read", "fs.list", "fs.stat")
WRITING = (*RIGHTS, "fs.write")


class Files(Served):
    """A served fs room over the tree `root`; `token` may do all but write there."""

    root: Path
    room: Room
    journal: Journal
    token: str

    def do(self, method: str, **params: Any) -> Any:
        return self.call(method, self.token, **params)

    def open(self, path: str, token: str = "", **params: Any) -> str:
        handle: str = self.call("fs.open", token or self.token, path=path, **params)["handle"]
        return handle


def make_tree(root: Path) -> None:
    root.mkdir()
    (root / "a.txt").write_text("hello strata\n")
    (root / "bin").write_bytes(b"\xff\xfe\x00\x41")
    (root / "empty").mkdir()
    (root / "sub").mkdir()
    (root / "sub" / "deep.txt").write_text("deep")
    (root / "a..b").write_text("dots")
    (root / "big").write_bytes(os.urandom(2 * 1_048_576))
    (root / "lnk").symlink_to("/etc/passwd")
    (root / "lnkdir").symlink_to("/etc")
    (root / "up").symlink_to("../outside")
    (root / "inner").symlink_to("sub/deep.txt")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "magic").symlink_to("/proc/self/fd/0")
    os.mkfifo(root / "fifo")
    (root.parent / "outside").write_text("secret")
    (root.parent / f"{root.name}evil").mkdir()
    (root.parent / f"{root.name}evil" / "x").write_text("evil")


@contextlib.contextmanager
def files(patch: pytest.MonkeyPatch, strict: bool = False) -> Iterator[Files]:
    trust = Trust()
    trust.set_keys([ISSUER.public])
    rooms: list[Room] = []

    @contextlib.asynccontextmanager
    async def compose() -> AsyncIterator[Server]:
        gate = Gate(trust, OperatorSettings())
        async with opened_room(trust, gate, strict) as room:
            rooms.append(room)
            yield Server(handlers.METHODS, room, gate, Denials())

    with directory() as made, listening_journal(patch, made / "journal") as journal:
        make_tree(made / "root")
        with served(compose, made / "fs.sock") as up:
            ring = Files(up.path, up.loop)
            ring.root, ring.room, ring.journal = made / "root", rooms[0], journal
            ring.token = ISSUER.token(*RIGHTS, prefix=str(ring.root))
            yield ring


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    with files(monkeypatch) as up:
        yield up


def until(true: Callable[[], bool]) -> None:
    """Wait for a condition, at most DEADLINE seconds."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def descriptors(below: Path) -> list[str]:
    """The files and directories below `below` that this process, the room included, has open."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [target for target in found if target.startswith(str(below))]


# --- authorization


def test_042_without_a_token_nothing_is_done(ring: Files) -> None:
    for method in ("fs.open", "fs.read", "fs.list", "fs.stat", "fs.write", "fs.close"):
        with pytest.raises(Unauthenticated, match=r"^token required$"):
            ring.call(method, "", path=".")


def test_043_a_token_of_another_key_is_refused(ring: Files) -> None:
    with pytest.raises(Unauthenticated, match=r"^invalid token: invalid signature$"):
        ring.call("fs.list", Issuer(b"x" * 32).token(*RIGHTS, prefix=str(ring.root)), path=".")


def test_045_a_token_for_another_service_is_refused(ring: Files) -> None:
    for method, params in (("fs.open", {"path": "a.txt"}), ("fs.close", {"handle": "h1"})):
        with pytest.raises(PermissionDenied, match=r'^token not valid for service "fs"$'):
            ring.call(method, ISSUER.token(*RIGHTS, prefix=str(ring.root), service="net"), **params)


def test_046_each_method_needs_its_right(ring: Files) -> None:
    handle = ring.open("a.txt")
    token = ISSUER.token("fs.nothing", prefix=str(ring.root))
    for method, params in (
        ("fs.open", {"path": "a.txt"}),
        ("fs.list", {"path": "."}),
        ("fs.stat", {"path": "a.txt"}),
        ("fs.read", {"handle": handle}),
        ("fs.write", {"path": "a.txt", "data": "x"}),
    ):
        with pytest.raises(PermissionDenied, match=f'^method "{method}" not permitted$'):
            ring.call(method, token, **params)


def test_048_a_rate_limit_is_charged(ring: Files) -> None:
    token = ISSUER.token(*RIGHTS, prefix=str(ring.root), rate_limit="2rps")
    ring.open("a.txt", token)
    ring.open("a.txt", token)
    with pytest.raises(ResourceExhausted, match=r"^rate limit exceeded$"):
        ring.open("a.txt", token)


def test_052_the_token_is_judged_before_the_parameters(ring: Files) -> None:
    with pytest.raises(Unauthenticated):
        ring.call("fs.open")
    with pytest.raises(InvalidArgument, match=r"^missing path param$"):
        ring.do("fs.open")


# --- paths


def test_053_paths_are_relative_to_the_prefix_whatever_the_working_directory_is(
    ring: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "only-here").touch()
    monkeypatch.chdir(tmp_path)
    assert "a.txt" in {entry["name"] for entry in ring.do("fs.list", path=".")["entries"]}
    with pytest.raises(NotFound, match=r"^file not found$"):
        ring.open("only-here")


def test_055_an_absolute_path_inside_the_prefix_is_fine(ring: Files) -> None:
    assert ring.do("fs.list", path=str(ring.root)) == ring.do("fs.list", path=".")
    assert ring.do("fs.read", handle=ring.open(f"{ring.root}/a.txt"))["data"] == "hello strata\n"


def test_055_strict_paths_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with files(monkeypatch, strict=True) as ring:
        with pytest.raises(PermissionDenied, match=r"^absolute paths not allowed"):
            ring.open(f"{ring.root}/a.txt")
        ring.open("a.txt")


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside", "sub/../../outside", "..", "/", "../rootevil/x"])
def test_056_057_060_paths_that_lead_out_are_refused(ring: Files, path: str) -> None:
    for method in ("fs.open", "fs.list", "fs.stat"):
        with pytest.raises(PermissionDenied):
            ring.do(method, path=path)
    assert ring.journal.wait_for("auth.denied", resource=path, action="fs.open")["STRATA_CAP_ID"]


def test_056_a_path_beside_the_prefix_is_refused(ring: Files) -> None:
    with pytest.raises(PermissionDenied, match="outside allowed prefix"):
        ring.open(f"{ring.root}evil/x")


def test_058_dots_in_a_name_are_a_name(ring: Files) -> None:
    assert ring.do("fs.read", handle=ring.open("a..b"))["data"] == "dots"


@pytest.mark.parametrize("path", ["lnk", "lnkdir/passwd", "lnkdir", "up", "magic", "loop"])
@pytest.mark.parametrize("method", ["fs.open", "fs.list", "fs.stat"])
def test_059_links_that_lead_out_or_nowhere_are_refused(ring: Files, method: str, path: str) -> None:
    with pytest.raises((PermissionDenied, NotFound)):
        ring.do(method, path=path)


def test_a_link_that_stays_beneath_is_followed(ring: Files) -> None:
    assert ring.do("fs.read", handle=ring.open("inner"))["data"] == "deep"
    assert ring.do("fs.stat", path="inner")["size"] == 4


def test_060_the_prefix_slash_reaches_everything_and_follows_absolute_links(ring: Files) -> None:
    token = ISSUER.token(*RIGHTS, prefix="/")
    (ring.root / "absolute").symlink_to(ring.root / "a.txt")
    for name in ("a.txt", "absolute"):
        handle = ring.open(f"{ring.root}/{name}".lstrip("/"), token)
        assert ring.call("fs.read", token, handle=handle)["data"] == "hello strata\n"


@pytest.mark.parametrize("path", ["/etc/passwd", "..", "a.txt", "."])
def test_061_without_a_prefix_no_path_is_allowed(ring: Files, path: str) -> None:
    with pytest.raises(PermissionDenied):
        ring.open(path, ISSUER.token(*RIGHTS))


def test_062_what_is_missing_is_said(ring: Files) -> None:
    with pytest.raises(NotFound, match=r"^file not found$"):
        ring.open("nothing")
    with pytest.raises(NotFound, match=r"^file not found$"):
        ring.open("dangling")
    with pytest.raises(NotFound, match=r"^directory not found$"):
        ring.do("fs.list", path="nothing")
    for params in ({}, {"path": ""}, {"path": 5}):
        with pytest.raises(InvalidArgument, match=r"^missing path param$"):
            ring.do("fs.open", **params)


def test_a_prefix_that_is_gone_is_not_found(ring: Files) -> None:
    with pytest.raises(NotFound, match=r"^directory not found$"):
        ring.call("fs.list", ISSUER.token(*RIGHTS, prefix=f"{ring.root}/gone"), path=".")


def test_a_renamed_prefix_is_not_served_from_its_old_place(ring: Files) -> None:
    ring.open("a.txt")
    ring.root.rename(ring.root.parent / "elsewhere")
    with pytest.raises(NotFound):
        ring.open("a.txt")


def test_a_prefix_that_its_owner_swapped_for_a_link_is_refused(ring: Files) -> None:
    theirs = ring.root / "home"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    (theirs / "shared").symlink_to("/etc")
    for method in ("fs.open", "fs.list", "fs.stat"):
        with pytest.raises(PermissionDenied, match="symbolic link that others could change"):
            ring.call(method, ISSUER.token(*RIGHTS, prefix=str(theirs / "shared")), path="passwd")


def test_a_prefix_link_that_only_root_can_change_is_followed(ring: Files) -> None:
    (ring.root / "alias").symlink_to("sub")
    (ring.root / "alias2").symlink_to(ring.root / "alias")
    token = ISSUER.token(*RIGHTS, prefix=str(ring.root / "alias2"))
    assert ring.call("fs.read", token, handle=ring.open("deep.txt", token))["data"] == "deep"


def test_no_link_is_followed_in_what_attenuation_added_to_the_prefix(ring: Files) -> None:
    token = ISSUER.token(*RIGHTS, prefix=f"{ring.root}/lnkdir", path_root=str(ring.root))
    with pytest.raises(PermissionDenied, match="symbolic link"):
        ring.open("passwd", token)
    token = ISSUER.token(*RIGHTS, prefix=f"{ring.root}/sub", path_root=str(ring.root))
    ring.open("deep.txt", token)


def test_a_loop_in_the_prefix_is_refused(ring: Files) -> None:
    with pytest.raises(PermissionDenied, match="symbolic link"):
        ring.open("x", ISSUER.token(*RIGHTS, prefix=f"{ring.root}/loop"))


@pytest.mark.parametrize("path", ["a.txt/x", "a\0b", "x" * 256, "x/" * 3000])
def test_076_paths_that_cannot_be_are_refused(ring: Files, path: str) -> None:
    for method in ("fs.open", "fs.list", "fs.stat"):
        with pytest.raises(InvalidArgument):
            ring.do(method, path=path)
    with pytest.raises(InvalidArgument, match="not a directory"):
        ring.do("fs.list", path="a.txt")
    ring.open("a.txt")


def test_077_a_fifo_a_device_and_a_socket_are_refused_at_once(ring: Files) -> None:
    refused = ["fifo", "socket"]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(ring.root / "socket"))
        if os.geteuid() == 0:
            with contextlib.suppress(PermissionError):  # a container may forbid making devices
                os.mknod(ring.root / "device", 0o20600, os.makedev(1, 3))
                refused.append("device")
        with ring.client() as client:
            for name in refused:
                for method in ("fs.open", "fs.list"):
                    begun = time.monotonic()
                    with pytest.raises(InvalidArgument, match=f"it is a {name}"):
                        client.call(method, {"path": name}, ring.token)
                    assert time.monotonic() - begun < 1
                assert client.call("fs.stat", {"path": name}, ring.token)["kind"] == name
            client.call("fs.open", {"path": "a.txt"}, ring.token)


def test_the_kernels_own_files_are_not_served(ring: Files) -> None:
    token = ISSUER.token(*WRITING, prefix="/")
    for path in ("proc/self/mem", "proc/self/environ", "proc", "sys/kernel"):
        with pytest.raises(PermissionDenied, match="it is part of"):
            ring.open(path, token)
    with pytest.raises(PermissionDenied, match="it is part of proc"):
        ring.call("fs.write", token, path="proc/self/mem", data="x")


def swap(stop: threading.Event, link: Path, targets: list[str]) -> None:
    fresh = link.with_name(link.name + ".new")
    turn = 0
    while not stop.is_set():
        os.symlink(targets[turn % len(targets)], fresh)
        os.replace(fresh, link)
        turn += 1


@pytest.mark.parametrize(
    ("link", "targets", "path"),
    [
        ("swap", ["a.txt", "../outside"], "swap"),
        ("swap", ["sub", "../rootevil"], "swap/x"),
        ("swap", ["sub", "/etc"], "swap/passwd"),
        ("swap", ["sub/../sub", ".."], "swap/outside"),
    ],
)
def test_059_a_link_swapped_while_it_is_opened_never_leads_out(
    ring: Files, link: str, targets: list[str], path: str
) -> None:
    (ring.root / "sub" / "x").write_text("inside")
    allowed = {"hello strata\n", "inside"}
    os.symlink(targets[0], ring.root / link)
    stop = threading.Event()
    swapper = threading.Thread(target=swap, args=(stop, ring.root / link, targets))
    swapper.start()
    try:
        with ring.client() as client:
            for _ in range(400):
                with contextlib.suppress(PermissionDenied, NotFound, Conflict):
                    handle = client.call("fs.open", {"path": path}, ring.token)["handle"]
                    assert client.call("fs.read", {"handle": handle}, ring.token)["data"] in allowed
                    client.call("fs.close", {"handle": handle}, ring.token)
    finally:
        stop.set()
        swapper.join()


# --- reading


def test_063_handles_are_new_each_time(ring: Files) -> None:
    first, second = ring.open("a.txt"), ring.open("a.txt")
    assert (first, second) == ("h1", "h2")


def test_064_065_reading_says_what_and_where_the_end_is(ring: Files) -> None:
    handle = ring.open("a.txt")
    assert ring.do("fs.read", handle=handle) == {
        "data": "hello strata\n",
        "data_b64": b64(b"hello strata\n"),
        "bytes_read": 13,
        "eof": True,
    }
    assert ring.do("fs.read", handle=handle, offset=6, size=6) == {
        "data": "strata",
        "data_b64": b64(b"strata"),
        "bytes_read": 6,
        "eof": False,
    }
    assert ring.do("fs.read", handle=handle, size=13)["eof"]
    assert not ring.do("fs.read", handle=handle, size=12)["eof"]


def test_066_behind_the_end_there_is_nothing(ring: Files) -> None:
    found = ring.do("fs.read", handle=ring.open("a.txt"), offset=1000)
    assert found == {"data": "", "data_b64": "", "bytes_read": 0, "eof": True}


def test_067_bytes_that_are_no_text_come_in_base64_alone(ring: Files) -> None:
    assert ring.do("fs.read", handle=ring.open("bin")) == {"data_b64": "//4AQQ==", "bytes_read": 4, "eof": True}


@pytest.mark.parametrize("params", [{}, {"size": 0}, {"size": -5}])
def test_068_the_size_is_4096_unless_it_is_given(ring: Files, params: dict[str, int]) -> None:
    assert ring.do("fs.read", handle=ring.open("big"), **params)["bytes_read"] == 4096


def test_068_070_sizes_and_offsets_that_cannot_be_are_refused(ring: Files) -> None:
    handle = ring.open("big")
    with pytest.raises(InvalidArgument, match=r"^size exceeds maximum \(1048576 bytes\)$"):
        ring.do("fs.read", handle=handle, size=1_048_577)
    for offset in (-1, 2**63, 1e300):
        with pytest.raises(InvalidArgument, match="offset must be"):
            ring.do("fs.read", handle=handle, offset=offset)


@pytest.mark.parametrize(
    "content", [os.urandom(1_048_577), b"\0" * 1_048_577, b"x" * 1_048_577, "€".encode() * 400_000, b'"\\\n' * 400_000]
)
def test_069_a_mebibyte_is_cut_to_fit_a_frame(ring: Files, content: bytes) -> None:
    (ring.root / "wide").write_bytes(content)
    reply = ring.do("fs.read", handle=ring.open("wide"), size=1_048_576)  # the client refuses a frame over 1 MiB
    assert 0 < reply["bytes_read"] < 1_048_576
    assert not reply["eof"]
    assert base64.b64decode(reply["data_b64"]) == content[: reply["bytes_read"]]
    if "data" in reply:
        assert reply["data"].encode() == content[: reply["bytes_read"]]


@pytest.mark.parametrize("size", [4096, 65_536, 65_537, 1_048_576])
def test_a_file_read_in_pieces_is_the_file(ring: Files, size: int) -> None:
    handle, got, eof = ring.open("big"), b"", False
    with ring.client() as client:
        while not eof:
            reply = client.call("fs.read", {"handle": handle, "offset": len(got), "size": size}, ring.token)
            got += base64.b64decode(reply["data_b64"])
            eof = reply["eof"]
    assert got == (ring.root / "big").read_bytes()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 4096])
def test_text_read_in_pieces_stays_text(ring: Files, size: int) -> None:
    """No piece ends inside a character, unless it would be empty; and no byte is lost."""
    text = "aé€🜁" * 40
    (ring.root / "text").write_text(text)
    handle, got, eof = ring.open("text"), b"", False
    with ring.client() as client:
        while not eof:
            reply = client.call("fs.read", {"handle": handle, "offset": len(got), "size": size}, ring.token)
            piece = base64.b64decode(reply["data_b64"])
            assert 0 < len(piece) == reply["bytes_read"] <= size
            assert size < 4 or reply["data"].encode() == piece
            got += piece
            eof = reply["eof"]
    assert got == text.encode()


def test_071_handles_that_are_not_there_are_said(ring: Files) -> None:
    with pytest.raises(NotFound, match=r"^invalid handle$"):
        ring.do("fs.read", handle="h99")
    for params in ({}, {"handle": ""}, {"handle": 1}):
        with pytest.raises(InvalidArgument, match=r"^missing handle param$"):
            ring.do("fs.read", **params)


def test_072_a_handle_is_its_own_capabilitys_alone(ring: Files) -> None:
    handle = ring.open("a.txt")
    other = ISSUER.token(*WRITING, prefix=str(ring.root))
    for method, more in (("fs.read", {}), ("fs.close", {}), ("fs.stat", {}), ("fs.write", {"data": "x"})):
        with pytest.raises(PermissionDenied, match=r"^handle not bound to this capability$"):
            ring.call(method, other, handle=handle, **more)
    assert ring.do("fs.read", handle=handle)["bytes_read"] == 13


def test_073_a_handle_outlives_its_connection(ring: Files) -> None:
    with ring.client() as client:
        handle = client.call("fs.open", {"path": "a.txt"}, ring.token)["handle"]
    assert ring.do("fs.read", handle=handle)["bytes_read"] == 13


def test_a_directory_can_be_opened_but_not_read(ring: Files) -> None:
    handle = ring.open("sub")
    assert ring.do("fs.stat", handle=handle)["is_dir"]
    with pytest.raises(InvalidArgument, match=r"it is a directory; use fs\.list"):
        ring.do("fs.read", handle=handle)


def test_a_file_system_that_cannot_promise_not_to_wait_is_read_by_a_thread(
    ring: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "at_once", lambda *_: None)
    assert ring.do("fs.read", handle=ring.open("a.txt"), offset=6)["data"] == "strata\n"


def test_what_the_kernel_does_not_have_in_memory_is_opened_by_a_thread(
    ring: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beneath.filesystems, "known_local", lambda _: False)
    assert ring.do("fs.read", handle=ring.open("a.txt"))["bytes_read"] == 13
    assert ring.do("fs.stat", path="a.txt")["size"] == 13


# --- listing and stat


def test_074_a_listing_is_sorted_and_does_not_follow_links(ring: Files) -> None:
    entries = ring.do("fs.list", path=".")["entries"]
    names = [entry["name"] for entry in entries]
    assert names == sorted(os.listdir(ring.root))
    shown = {entry["name"]: entry for entry in entries}
    assert shown["a.txt"] == {"name": "a.txt", "is_dir": False, "size": 13}
    assert shown["lnkdir"] == {"name": "lnkdir", "is_dir": False, "size": 4}
    assert shown["sub"]["is_dir"]


def test_075_an_empty_directory_lists_nothing_but_a_list(ring: Files) -> None:
    assert ring.do("fs.list", path="empty") == {"entries": []}


def test_names_that_are_not_utf_8_are_shown_and_given_whole(ring: Files) -> None:
    odd = [b"new\nline", b"\xff\xfe", "ünï".encode(), b"\xed\xa0\x80", b"-rf", b"\x01"]
    for name in odd:
        Path(os.fsdecode(os.path.join(os.fsencode(ring.root / "empty"), name))).touch()
    entries = ring.do("fs.list", path="empty")["entries"]
    whole = [base64.b64decode(e["name_b64"]) if "name_b64" in e else e["name"].encode() for e in entries]
    assert whole == sorted(odd)
    assert sum("name_b64" in entry for entry in entries) == 2
    assert ring.do("fs.stat", path="empty/new\nline")["kind"] == "file"


def test_013_a_huge_directory_comes_in_pages_that_fit(ring: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:05}-{'é' * 100}" for number in range(5000)]
    for name in names:
        (ring.root / "empty" / name).touch()
    for most_names in (listing._PAGE, 777):
        monkeypatch.setattr(listing, "_PAGE", most_names)
        found, cursor, pages = [], None, 0
        while cursor is not None or not pages:
            params = {"path": "empty"} | ({"cursor": cursor} if cursor else {})
            reply = ring.do("fs.list", **params)  # the client refuses a frame over 1 MiB
            found += [entry["name"] for entry in reply["entries"]]
            cursor, pages = reply.get("cursor"), pages + 1
            assert reply.get("truncated", False) == (cursor is not None)
        assert found == names
        assert pages == (2 if most_names > 5000 else 7)


def test_a_cursor_that_is_none_of_ours_is_refused(ring: Files) -> None:
    with pytest.raises(InvalidArgument, match="cursor"):
        ring.do("fs.list", path=".", cursor="§")


def test_stat_tells_kind_size_mode_and_time(ring: Files) -> None:
    os.chmod(ring.root / "a.txt", 0o640)
    os.utime(ring.root / "a.txt", ns=(0, 1_500_000_000_250_000_000))
    wanted = {"kind": "file", "is_dir": False, "size": 13, "mode": "0640", "mtime": 1_500_000_000.25}
    assert ring.do("fs.stat", path="a.txt") == wanted
    assert ring.do("fs.stat", handle=ring.open("a.txt")) == wanted
    assert ring.do("fs.stat", path=".")["kind"] == "directory"
    for params in ({}, {"path": "a", "handle": "h1"}):
        with pytest.raises(InvalidArgument):
            ring.do("fs.stat", **params)


# --- writing


@pytest.fixture
def writer(ring: Files) -> str:
    return ISSUER.token(*WRITING, prefix=str(ring.root))


def test_writing_by_path_and_by_handle(ring: Files, writer: str) -> None:
    assert ring.call("fs.write", writer, path="a.txt", offset=6, data="STRATA") == {"bytes_written": 6}
    handle = ring.open("a.txt", writer, mode="rw")
    assert ring.call("fs.write", writer, handle=handle, data_b64=b64(b"\xff")) == {"bytes_written": 1}
    assert base64.b64decode(ring.call("fs.read", writer, handle=handle)["data_b64"]) == b"\xffello STRATA\n"


def test_writing_creates_and_empties_only_when_told_to(ring: Files, writer: str) -> None:
    with pytest.raises(NotFound, match=r"^file not found$"):
        ring.call("fs.write", writer, path="sub/new", data="x")
    ring.call("fs.write", writer, path="sub/new", data="first", create=True)
    ring.call("fs.write", writer, path="sub/new", data="2", create=True)
    assert (ring.root / "sub" / "new").read_text() == "2irst"
    ring.call("fs.write", writer, path="sub/new", data="3", create=True, truncate=True)
    assert (ring.root / "sub" / "new").read_text() == "3"
    assert (ring.root / "sub" / "new").stat().st_mode & 0o777 == 0o644
    handle = ring.open("sub/new", writer, mode="w", truncate=True)
    assert (ring.root / "sub" / "new").read_text() == ""
    with pytest.raises(InvalidArgument, match="opened for writing only"):
        ring.call("fs.read", writer, handle=handle)
    ring.open("sub/newer", writer, mode="rw", create=True)
    assert (ring.root / "sub" / "newer").exists()


@pytest.mark.parametrize(
    "path", ["lnk", "up", "dangling-out", "lnkdir/new", "../new", "/etc/strata-new", "fifo", "sub"]
)
def test_writing_never_leads_out(ring: Files, writer: str, path: str) -> None:
    (ring.root / "dangling-out").symlink_to("../made-outside")
    before = sorted(os.listdir(ring.root.parent))
    with pytest.raises((PermissionDenied, InvalidArgument, Conflict)):
        ring.call("fs.write", writer, path=path, data="x", create=True, truncate=True)
    assert sorted(os.listdir(ring.root.parent)) == before
    assert (ring.root.parent / "outside").read_text() == "secret"
    assert not os.path.exists("/etc/strata-new")


def test_opening_for_writing_needs_the_right_to_write(ring: Files) -> None:
    for mode in ("w", "rw"):
        with pytest.raises(PermissionDenied, match=r'^method "fs\.write" not permitted$'):
            ring.open("a.txt", mode=mode)
    with pytest.raises(PermissionDenied, match=r'^method "fs\.write" not permitted$'):
        ring.do("fs.write", path="a.txt", data="x")


def test_a_handle_for_reading_does_not_write(ring: Files, writer: str) -> None:
    with pytest.raises(PermissionDenied, match="opened for reading only"):
        ring.call("fs.write", writer, handle=ring.open("a.txt", writer), data="x")


@pytest.mark.parametrize(
    "params",
    [
        {"mode": "a"}, {"mode": ""}, {"mode": 5}, {"mode": "R"}, {"create": True}, {"truncate": True},
        {"mode": "w", "create": "yes"},
    ],
)  # fmt: skip
def test_modes_that_do_not_exist_are_refused(ring: Files, writer: str, params: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        ring.call("fs.open", writer, path="a.txt", **params)


@pytest.mark.parametrize(
    "params",
    [
        {}, {"data": "a", "data_b64": ""}, {"data_b64": "%"}, {"data_b64": "YQ"}, {"data": 5},
        {"data": "x", "offset": -1}, {"data": "x", "offset": 2**63}, {"data": "x", "handle": "h1"},
    ],
)  # fmt: skip
def test_writes_that_cannot_be_are_refused(ring: Files, writer: str, params: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        ring.call("fs.write", writer, path="a.txt", **params)
    assert (ring.root / "a.txt").read_text() == "hello strata\n"


def test_a_full_disk_says_what_was_written(ring: Files, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = os.pwrite, [3, 2]

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return real(fd, data[: room.pop(0)], offset)

    monkeypatch.setattr(writing.os, "pwrite", pwrite)
    with pytest.raises(ResourceExhausted, match="no space left") as caught:
        ring.call("fs.write", writer, path="a.txt", data="12345678")
    assert caught.value.details["bytes_written"] == 5
    assert (ring.root / "a.txt").read_text() == "12345 strata\n"


# --- the life of handles


def test_a_closed_handle_is_gone_and_so_is_its_descriptor(ring: Files) -> None:
    handle = ring.open("a.txt")
    assert descriptors(ring.root)
    assert ring.do("fs.close", handle=handle) == {"status": "closed"}
    assert not descriptors(ring.root)
    for method in ("fs.close", "fs.read"):
        with pytest.raises(NotFound, match=r"^invalid handle$"):
            ring.do(method, handle=handle)


def test_nothing_stays_open_but_handles(ring: Files) -> None:
    paths = [".", "a.txt", "nothing", "lnk", "fifo", "a.txt/x", "sub", "dangling", "loop"]
    with ring.client() as client:
        for path in paths * 5:
            for method in ("fs.list", "fs.stat", "fs.open"):
                with contextlib.suppress(StrataError):
                    reply = client.call(method, {"path": path}, ring.token)
                    if method == "fs.open":
                        client.call("fs.close", reply, ring.token)
    assert not descriptors(ring.root)


def test_078_079_082_revoking_closes_handles_at_once(ring: Files) -> None:
    claims = ISSUER.claims(*RIGHTS, prefix=str(ring.root))
    token = ISSUER.sign(claims)
    handle, kept = ring.open("a.txt", token), ring.open("bin")
    assert as_stranger(ring.path, "fs.revoke", cap_id=claims.jti)["error"]["code"] == 2
    assert ring.call("fs.read", token, handle=handle)["bytes_read"] == 13
    assert ring.call("fs.revoke", cap_id=claims.jti) == {"status": "revoked"}
    assert descriptors(ring.root) == [str(ring.root / "bin")]
    for method, params in (("fs.read", {"handle": handle}), ("fs.open", {"path": "a.txt"}), ("fs.list", {"path": "."})):
        with pytest.raises(PermissionDenied, match=r"^capability revoked$"):
            ring.call(method, token, **params)
    assert ring.do("fs.read", handle=kept)["bytes_read"] == 4


def test_revoking_an_ancestor_closes_the_handles_of_what_descends_from_it(ring: Files) -> None:
    child = ISSUER.token(*RIGHTS, prefix=str(ring.root), parents=("aa", "bb"))
    ring.open("a.txt", child)
    ring.inside(lambda: ring.room.trust.revoke(["bb"]))
    assert not descriptors(ring.root)


def test_fs_revoke_names_a_capability(ring: Files) -> None:
    with pytest.raises(InvalidArgument, match=r"^missing cap_id param$"):
        ring.call("fs.revoke")


def test_a_revocation_while_the_disk_is_busy_gives_nothing_out(ring: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a handle nor data, and the descriptors are closed."""
    claims = ISSUER.claims(*RIGHTS, prefix=str(ring.root))
    token = ISSUER.sign(claims)
    handle = ring.open("a.txt", token)
    busy, go = threading.Semaphore(0), threading.Event()

    def slow(real: Any) -> Any:
        def wait(*args: Any, **more: Any) -> Any:
            busy.release()
            assert go.wait(DEADLINE)
            return real(*args, **more)

        return wait

    monkeypatch.setattr(reading, "at_once", lambda *_: None)
    monkeypatch.setattr(beneath.filesystems, "known_local", lambda _: False)
    monkeypatch.setattr(reading, "waiting", slow(reading.waiting))
    monkeypatch.setattr(beneath.filesystems, "remember", slow(beneath.filesystems.remember))
    outcomes: list[Any] = []

    def ask(method: str, params: dict[str, str]) -> None:
        with ring.client() as client:
            outcomes.append(client.exchange(method, params, token))

    calls = [("fs.read", {"handle": handle}), ("fs.open", {"path": "a.txt"}), ("fs.list", {"path": "."})]
    threads = [threading.Thread(target=ask, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert busy.acquire(timeout=DEADLINE)
    ring.call("fs.revoke", cap_id=claims.jti)
    go.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert [outcome.get("error", {}).get("message") for outcome in outcomes] == ["capability revoked"] * 3
    assert not descriptors(ring.root)


class Hung:
    """Listings that hang until `go` is set; `started` counts those that do."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.go, self.started = threading.Event(), threading.Semaphore(0)
        real = listing.page

        def page(*args: Any) -> Any:
            self.started.release()
            assert self.go.wait(DEADLINE)
            return real(*args)

        patch.setattr(listing, "page", page)


@contextlib.contextmanager
def hung_listings(ring: Files, patch: pytest.MonkeyPatch, tokens: list[str]) -> Iterator[Hung]:
    """As many threads as one family may have are stuck, and its further calls wait for their turn."""
    hung = Hung(patch)
    clients = [ring.client() for _ in tokens]
    try:
        for client, token in zip(clients, tokens, strict=True):
            client._send("fs.list", {"path": "."}, token, "")
        for _ in range(PER_FAMILY):
            assert hung.started.acquire(timeout=DEADLINE)
        yield hung
        hung.go.set()
        assert all(client._receive()["ok"] for client in clients)
    finally:
        hung.go.set()
        for client in clients:
            client.close()


@pytest.mark.parametrize("children", [False, True])
def test_a_hung_disk_stops_neither_others_nor_the_loop(
    ring: Files, monkeypatch: pytest.MonkeyPatch, children: bool
) -> None:
    """Nor do the children of one capability, which its holder can have as many of as he likes."""
    tokens = [ring.token] * 12
    if children:
        tokens = [ISSUER.token(*RIGHTS, prefix=str(ring.root), parents=("top", f"child{n}")) for n in range(40)]
    with hung_listings(ring, monkeypatch, tokens):
        other = ISSUER.token(*WRITING, prefix=str(ring.root))
        ring.call("fs.write", other, path="new", data="x", create=True)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("fs.write", {"path": "a.txt", "data": "x"}),
        ("fs.write", {"data": "x"}),
        ("fs.write", {"path": "made", "data": "x", "create": True}),
        ("fs.open", {"path": "a.txt", "mode": "rw", "truncate": True}),
    ],
)
def test_a_change_that_waits_for_its_turn_is_not_made_after_a_revocation(
    ring: Files, monkeypatch: pytest.MonkeyPatch, method: str, params: dict[str, Any]
) -> None:
    claims = ISSUER.claims(*WRITING, prefix=str(ring.root), parents=("top",))
    token = ISSUER.sign(claims)
    if "path" not in params:
        params = params | {"handle": ring.call("fs.open", token, path="a.txt", mode="rw")["handle"]}
    sibling = ISSUER.token(*RIGHTS, prefix=str(ring.root), parents=("top",))
    with hung_listings(ring, monkeypatch, [sibling] * PER_FAMILY) as hung, ring.client() as client:
        client._send(method, params, token, "")
        until(lambda: len(ring.room.threads._turns["top"][1]) == PER_FAMILY + 1)  # it waits for its turn
        ring.inside(lambda: ring.room.trust.revoke([claims.jti]))
        hung.go.set()
        assert client._receive()["error"]["message"] == "capability revoked"
    assert (ring.root / "a.txt").read_text() == "hello strata\n"
    assert not (ring.root / "made").exists()
    assert not descriptors(ring.root)


def test_a_file_system_that_hangs_on_close_holds_up_nobody_else(ring: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    go, real = threading.Event(), handles._close
    monkeypatch.setattr(beneath.filesystems, "LOCAL", frozenset())
    monkeypatch.setattr(handles, "PER_CAPABILITY", 1)
    monkeypatch.setattr(handles, "_close", lambda fd: real(fd) if go.wait(DEADLINE) else None)
    try:
        ring.do("fs.close", handle=ring.open("a.txt"))
        with pytest.raises(ResourceExhausted, match="1 handles open"):  # it counts until it is closed
            ring.open("a.txt")
        other = ISSUER.token(*RIGHTS, prefix=str(ring.root))
        ring.open("a.txt", other)
    finally:
        go.set()
    until(lambda: ring.room.handles._open[handles._ALL] == 1)
    handle = ring.open("a.txt")
    ring.do("fs.close", handle=handle)
    ring.inside(lambda: ring.room.handles.close_all())
    until(lambda: not descriptors(ring.root))


def test_an_error_on_close_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    handles._close(1_000_000)
    assert "what was written to it may be lost: Bad file descriptor" in caplog.text


def test_expired_and_idle_handles_are_closed(ring: Files) -> None:
    expired = ISSUER.token(*RIGHTS, prefix=str(ring.root), ttl=30)
    ring.open("a.txt", expired)
    kept = ring.open("bin")
    ring.inside(lambda: ring.room.handles.close_overdue(time.time_ns() + 31_000_000_000))
    assert descriptors(ring.root) == [str(ring.root / "bin")]
    ring.do("fs.read", handle=kept)
    ring.inside(lambda: setattr(ring.room.handles, "_clock", lambda: time.monotonic() + handles.IDLE))
    ring.inside(lambda: ring.room.handles.close_overdue(time.time_ns()))
    assert not descriptors(ring.root)


def test_the_number_of_handles_is_bounded(ring: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "PER_CAPABILITY", 3)
    monkeypatch.setattr(handles, "IN_ALL", 5)
    tokens = [ISSUER.token(*RIGHTS, prefix=str(ring.root)) for _ in range(3)]
    mine = [ring.open("a.txt", tokens[0]) for _ in range(3)]
    with pytest.raises(ResourceExhausted, match="the capability has 3 handles open"):
        ring.open("a.txt", tokens[0])
    for _ in range(2):
        ring.open("a.txt", tokens[1])
    with pytest.raises(ResourceExhausted, match="5 handles are open"):
        ring.open("a.txt", tokens[2])
    ring.call("fs.close", tokens[0], handle=mine[0])
    ring.open("a.txt", tokens[2])


def test_attenuating_does_not_multiply_the_handles(ring: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handles, "PER_FAMILY", 3)
    parent = ISSUER.claims(*RIGHTS, prefix=str(ring.root))
    line = [ISSUER.token(*RIGHTS, prefix=str(ring.root), parents=(parent.jti, f"child{n}")) for n in range(3)]
    opened = [ring.open("a.txt", token) for token in [ISSUER.sign(parent), *line[:2]]]
    with pytest.raises(ResourceExhausted, match="the capability and its relatives have 3 handles open"):
        ring.open("a.txt", line[2])
    ring.open("a.txt", ISSUER.token(*RIGHTS, prefix=str(ring.root)))
    ring.call("fs.close", line[0], handle=opened[1])
    ring.open("a.txt", line[2])


# --- audit


def test_083_what_is_done_is_in_the_journal(ring: Files) -> None:
    claims = ISSUER.claims(*WRITING, prefix=str(ring.root))
    token = ISSUER.sign(claims)
    resource = str(ring.root / "a.txt")
    with ring.client() as client:
        handle = client.call("fs.open", {"path": "a.txt"}, token, "r-open")["handle"]
        client.call("fs.read", {"handle": handle}, token, "r-read")
        client.call("fs.stat", {"path": "a.txt"}, token, "r-stat")
        client.call("fs.write", {"path": "a.txt", "data": "x"}, token, "r-write")
        client.call("fs.list", {"path": "."}, token, "r-list")
    for action in ("open", "read", "stat", "write"):
        record = ring.journal.wait_for(f"fs.{action}", req_id=f"r-{action}", resource=resource, cap_id=claims.jti)
        assert (record["STRATA_SUBJECT"], record["STRATA_ACTION"]) == ("capability", f"fs.{action}")
        assert token not in str(record)
    ring.journal.wait_for("fs.list", req_id="r-list", resource=str(ring.root), cap_id=claims.jti)


def test_083_repeated_reads_are_gathered_and_every_one_is_named(ring: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_READS", 3)
    handle = ring.open("a.txt")
    with ring.client() as client:
        for number in range(6):
            client.call("fs.read", {"handle": handle}, ring.token, f"r{number}")
    resource = str(ring.root / "a.txt")
    ring.journal.wait_for("fs.read", req_id="r0", resource=resource)
    ring.journal.wait_for("fs.read", req_ids="r1 r2 r3", reads="3", bytes="39", resource=resource)
    ring.journal.wait_for("fs.read", req_ids="r4 r5", reads="2", bytes="26", resource=resource)  # a second later


def test_083_gathered_reads_are_recorded_at_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        audit.journal, "send", lambda event, _message, **fields: sent.append({"event": event, **fields})
    )
    with files(monkeypatch) as ring:
        handle = ring.open("a.txt")
        for _ in range(3):
            ring.do("fs.read", handle=handle)
    assert [(record["event"], record.get("reads")) for record in sent[1:]] == [("fs.read", None), ("fs.read", 2)]


def test_083_what_is_refused_is_in_the_journal(ring: Files) -> None:
    with pytest.raises(PermissionDenied):
        ring.open("lnk")
    record = ring.journal.wait_for("auth.denied", action="fs.open", resource="lnk")
    assert "outside allowed prefix" in record["MESSAGE"]
    with pytest.raises(Unauthenticated):
        ring.call("fs.list", "", path=".")
    ring.journal.wait_for("auth.denied", action="fs.list", detail="token required")


def test_nobody_keeps_out_of_the_journal_with_a_long_req_id(ring: Files) -> None:
    with ring.client() as client:
        client.call("fs.stat", {"path": "a.txt"}, ring.token, "é" * 150_000)
    record = ring.journal.wait_for("fs.stat", resource=str(ring.root / "a.txt"))
    assert record["STRATA_REQ_ID"] == "é" * 10_000


def test_a_name_cannot_forge_a_field_of_the_journal(ring: Files) -> None:
    forged = "x\nSTRATA_EVENT=cap.issued"
    (ring.root / forged).touch()
    ring.open(forged)
    assert ring.journal.wait_for("fs.open")["STRATA_RESOURCE"] == str(ring.root / forged)


def test_no_reply_is_larger_than_a_frame(ring: Files) -> None:
    """Even when the caller's own req_id takes nearly all of it."""
    (ring.root / "wide").write_bytes(b"x" * 1_048_576)
    handle = ring.open("wide")
    for size in (500_000, 1_040_000):
        with Client(ring.path, DEADLINE) as client:
            reply = client.exchange("fs.read", {"handle": handle, "size": 1_048_576}, ring.token, "r" * size)
            assert reply["req_id"] == "r" * size or not reply["ok"]
            assert len(frame.encode(b"x")) == 5

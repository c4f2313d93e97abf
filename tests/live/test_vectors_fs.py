# SPDX-License-Identifier: MIT
"""Vectors 053 to 083: files beneath a prefix, as fs of a running Strata gives them."""

from __future__ import annotations

import base64
import itertools
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wire
from node import NOBODY, Node, until

SECRET = "root:"
"""What /etc/passwd begins with: it must never be seen through a link."""
MEBIBYTE = 1_048_576


class Holder:
    """Somebody with a capability on a directory."""

    def __init__(self, strata: Node, prefix: Path | str, **grant: Any) -> None:
        self.strata = strata
        limits = {"path_prefix": str(prefix)} if prefix else {}
        self.token, self.cap_id, _ = strata.issue(**limits, **grant)

    def ask(self, method: str, params: Any, **more: Any) -> dict[str, Any]:
        """The whole reply."""
        return self.strata.ask(method, params, token=self.token, **more)

    def call(self, method: str, **params: Any) -> Any:
        """The result, which must be ok."""
        return wire.result(self.ask(method, params))

    def refusal(self, method: str, **params: Any) -> tuple[int, str]:
        """Code and message of the error."""
        return wire.error(self.ask(method, params))

    def open(self, path: str) -> str:
        """A handle."""
        handle = self.call("fs.open", path=path)["handle"]
        assert isinstance(handle, str)
        return handle


@pytest.fixture
def holder(strata: Node, tree: Path) -> Iterator[Holder]:
    """A capability on P of the specification's set-up, given back in the end."""
    found = Holder(strata, tree)
    yield found
    strata.call("identity.revoke", {"cap_id": found.cap_id})


def names(listing: Any) -> list[str]:
    """The names in a result of fs.list."""
    return [entry["name"] for entry in listing["entries"]]


def test_053_a_relative_path_begins_at_the_prefix(holder: Holder, tree: Path) -> None:
    """fs.list "." with prefix P -> P's entries whatever the daemon's cwd is."""
    assert names(holder.call("fs.list", path=".")) == sorted(os.listdir(tree))
    assert names(holder.call("fs.list", path="sub")) == ["inner.txt"]


def test_054_a_name_in_the_working_directory_is_not_found(strata: Node, holder: Holder, tree: Path) -> None:
    """Prefix /tmp, daemon cwd elsewhere: fs.open "x" opens /tmp/x; a name that exists only in cwd -> 4."""
    assert holder.call("fs.read", handle=holder.open("a.txt"))["data"] == "hello strata\n"
    pid = strata.services()["fs"]["pid"]
    there = strata.manager.run(["ls", f"/proc/{pid}/cwd/"]).stdout.split()
    only_there = next(name for name in there if not (tree / name).exists())
    assert holder.refusal("fs.open", path=only_there)[0] == 4


def test_055_an_absolute_path_inside_the_prefix_is_good(strata: Node, tmp_path: Path) -> None:
    """README example: prefix /tmp, fs.list {"path":"/tmp"}, fs.open "/tmp/test.txt" -> ok by default."""
    (tmp_path / "test.txt").write_text("example\n")
    example = Holder(strata, tmp_path)
    assert names(example.call("fs.list", path=str(tmp_path))) == ["test.txt"]
    assert example.call("fs.read", handle=example.open(f"{tmp_path}/test.txt"))["data"] == "example\n"
    assert "entries" in Holder(strata, "/tmp").call("fs.list", path="/tmp")


def test_055_strict_paths_refuse_absolute_ones(disturbed: Node, holder: Holder, tree: Path) -> None:
    """Strict mode -> 3 `absolute paths not allowed…`; relative ones stay good."""
    settings = disturbed.manager.paths.config_dir / "strata.toml"
    before = settings.read_text()
    settings.write_text(f"{before}[fs]\nstrict_paths = true\n")
    try:
        disturbed.call("supervisor.svc.restart", {"name": "fs"})
        code, message = holder.refusal("fs.list", path=str(tree))
        assert code == 3
        assert message.startswith("absolute paths not allowed")
        assert "a.txt" in names(holder.call("fs.list", path="."))
    finally:
        settings.write_text(before)
        disturbed.call("supervisor.svc.restart", {"name": "fs"})
    holder.call("fs.list", path=str(tree))


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "/etc"])
def test_056_an_absolute_path_outside_is_refused(holder: Holder, path: str) -> None:
    """Absolute path outside prefix (/etc/passwd) -> 3."""
    assert holder.refusal("fs.open", path=path)[0] == 3
    assert holder.refusal("fs.list", path=path)[0] == 3


@pytest.mark.parametrize("path", ["../x", "sub/../../x", "..", "sub/../..", "./../x"])
def test_057_no_way_up(holder: Holder, path: str) -> None:
    """ "../x", "sub/../../x" -> 3."""
    assert holder.refusal("fs.open", path=path)[0] == 3
    assert holder.refusal("fs.list", path=path)[0] == 3


def test_058_two_dots_within_a_name_are_a_name(holder: Holder) -> None:
    """Name "a..b" (no parent component) -> opens."""
    assert holder.call("fs.read", handle=holder.open("a..b"))["data"] == "dots\n"


@pytest.mark.parametrize("path", ["lnk", "lnkdir/passwd", "lnkdir", "sub/../lnk"])
def test_059_a_link_out_of_the_prefix_leads_nowhere(holder: Holder, path: str) -> None:
    """lnk (symlink out of prefix), directory symlink component -> 3 or 4, never data."""
    for method in ("fs.open", "fs.list", "fs.stat"):
        assert holder.refusal(method, path=path)[0] in (3, 4)


def test_059_a_link_swapped_in_during_the_open_leads_nowhere(strata: Node, tmp_path: Path) -> None:
    """A symlink swapped in for the file and for its directory while it is being opened -> 3 or 4, never data."""
    (tmp_path / "d").mkdir()
    for path in ("d/passwd", "file"):
        (tmp_path / path).write_text("ours\n")
    (tmp_path / "evil").symlink_to("/etc/passwd")
    (tmp_path / "evildir").symlink_to("/etc")
    attacker = Holder(strata, tmp_path)
    stop = threading.Event()
    swapping = threading.Thread(target=_swap, args=(stop, tmp_path, ("file", "evil"), ("d", "evildir")))
    swapping.start()
    outcomes: set[object] = set()
    try:
        with strata.connect("fs") as connection:
            both = {"ours\n", 3}
            until(lambda: _tries(connection, attacker.token, outcomes) >= both, "both file and link were met", 30.0)
    finally:
        stop.set()
        swapping.join()
    assert outcomes <= {"ours\n", 3, 4}


def _tries(connection: wire.Wire, token: str, outcomes: set[object]) -> set[object]:
    """Read both names often; the outcomes so far."""
    for path in itertools.islice(itertools.cycle(("file", "d/passwd")), 600):
        outcomes.add(_content(connection, token, path))
    return outcomes


def _content(connection: wire.Wire, token: str, path: str) -> object:
    """What is read at a path, or the code of the refusal."""
    opened = connection.ask("fs.open", {"path": path}, token=token)
    if not opened["ok"]:
        return opened["error"]["code"]
    handle = opened["result"]["handle"]
    data = wire.result(connection.ask("fs.read", {"handle": handle}, token=token))["data"]
    wire.result(connection.ask("fs.close", {"handle": handle}, token=token))
    return data


def _swap(stop: threading.Event, top: Path, *pairs: tuple[str, str]) -> None:
    """Let the two names of each pair change places, again and again."""
    while not stop.is_set():
        for one, other in pairs:
            (top / one).rename(top / "aside")
            (top / other).rename(top / one)
            time.sleep(0)
            (top / one).rename(top / other)
            (top / "aside").rename(top / one)
            time.sleep(0)


def test_060_the_root_is_a_prefix(strata: Node) -> None:
    """Prefix "/" with path "etc/hostname" -> allowed."""
    everything = Holder(strata, "/")
    handle = everything.open("etc/hostname")
    assert everything.call("fs.read", handle=handle)["data"] == Path("/etc/hostname").read_text()


def test_060_a_prefix_ends_at_a_slash(strata: Node, tmp_path: Path) -> None:
    """Prefix /tmp must not admit /tmpevil."""
    for name in ("in", "inevil"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    inside = Holder(strata, tmp_path / "in")
    assert inside.open(f"{tmp_path}/in/x")
    assert inside.refusal("fs.open", path=f"{tmp_path}/inevil/x")[0] == 3


@pytest.mark.parametrize("path", ["/etc/hostname", "../x", ".", "a.txt"])
def test_061_without_a_prefix_nothing(strata: Node, path: str) -> None:
    """Token without path_prefix: absolute or ".." path -> 3 (deny by default)."""
    anywhere = Holder(strata, "")
    assert anywhere.refusal("fs.open", path=path)[0] == 3
    assert anywhere.refusal("fs.list", path=path)[0] == 3


def test_062_what_is_not_there(holder: Holder) -> None:
    """fs.open missing file -> 4 `file not found`; fs.list missing -> 4 `directory not found`."""
    assert holder.refusal("fs.open", path="nothing") == (4, "file not found")
    assert holder.refusal("fs.list", path="nothing") == (4, "directory not found")


@pytest.mark.parametrize("params", [{"path": ""}, {"path": 5}, {}, {"path": None}])
def test_062_a_path_is_needed(holder: Holder, params: dict[str, Any]) -> None:
    """Path "" / 5 / absent -> 1 `missing path param`."""
    for method in ("fs.open", "fs.list"):
        assert holder.refusal(method, **params) == (1, "missing path param")


def test_063_a_handle(holder: Holder) -> None:
    """fs.open a.txt -> {"handle":"h<digits>"}; handles of successive opens differ."""
    first, second = holder.open("a.txt"), holder.open("a.txt")
    assert first[0] == second[0] == "h"
    assert first[1:].isdigit()
    assert second[1:].isdigit()
    assert first != second


def test_064_reading(holder: Holder) -> None:
    """fs.read {handle} -> data "hello strata\\n", bytes_read 13; offset 6 size 6 -> "strata", 6."""
    handle = holder.open("a.txt")
    whole = holder.call("fs.read", handle=handle)
    assert (whole["data"], whole["bytes_read"]) == ("hello strata\n", 13)
    part = holder.call("fs.read", handle=handle, offset=6, size=6)
    assert (part["data"], part["bytes_read"]) == ("strata", 6)


def test_065_bytes_and_the_end(holder: Holder) -> None:
    """Same read also has data_b64 = base64 of the bytes and eof true; size 4 -> eof false."""
    handle = holder.open("a.txt")
    whole = holder.call("fs.read", handle=handle)
    assert (base64.b64decode(whole["data_b64"]), whole["eof"]) == (b"hello strata\n", True)
    part = holder.call("fs.read", handle=handle, size=4)
    assert (part["data_b64"], part["eof"]) == (base64.b64encode(b"hell").decode(), False)


def test_066_behind_the_end_is_nothing(holder: Holder) -> None:
    """Read at offset 1000 -> bytes_read 0, data ""."""
    found = holder.call("fs.read", handle=holder.open("a.txt"), offset=1000)
    assert (found["bytes_read"], found["data"], found["eof"]) == (0, "", True)


def test_067_what_is_no_text_comes_as_bytes(holder: Holder) -> None:
    """Read of bin -> data_b64 "//4AQQ==", bytes_read 4, no lossy data field."""
    found = holder.call("fs.read", handle=holder.open("bin"))
    assert (found["data_b64"], found["bytes_read"]) == ("//4AQQ==", 4)
    assert "data" not in found


@pytest.mark.parametrize("size", [{}, {"size": 0}, {"size": -5}])
def test_068_a_size_that_says_nothing_means_4096(holder: Holder, size: dict[str, int]) -> None:
    """Size 0 or -5 or absent -> up to 4096."""
    assert holder.call("fs.read", handle=holder.open("big"), **size)["bytes_read"] == 4096


def test_068_the_most_that_one_read_gives(holder: Holder) -> None:
    """Size 1048577 -> 1 `size exceeds maximum (1048576 bytes)`."""
    refused = holder.refusal("fs.read", handle=holder.open("big"), size=MEBIBYTE + 1)
    assert refused == (1, "size exceeds maximum (1048576 bytes)")


def test_069_a_large_read_is_cut_to_fit_its_frame(holder: Holder, tree: Path) -> None:
    """Size 1048576 on big -> valid frame <= 1 MiB, bytes_read < size, eof false; piece by piece it is all there."""
    handle, gathered = holder.open("big"), b""
    while True:
        piece = holder.call("fs.read", handle=handle, offset=len(gathered), size=MEBIBYTE)  # asserts the limit
        gathered += base64.b64decode(piece["data_b64"])
        if piece["eof"]:
            break
        assert 0 < piece["bytes_read"] < MEBIBYTE
    assert gathered == (tree / "big").read_bytes()


def test_070_no_offset_before_the_beginning(holder: Holder) -> None:
    """Negative offset -> error (ref 5; ours 1)."""
    assert holder.refusal("fs.read", handle=holder.open("a.txt"), offset=-1)[0] == 1


def test_071_handles_that_are_none(holder: Holder) -> None:
    """Read with unknown handle -> 4 `invalid handle`; "" / missing -> 1 `missing handle param`."""
    assert holder.refusal("fs.read", handle="h999999999") == (4, "invalid handle")
    assert holder.refusal("fs.read", handle="") == (1, "missing handle param")
    assert holder.refusal("fs.read") == (1, "missing handle param")


def test_072_a_handle_is_its_capabilitys_own(strata: Node, holder: Holder, tree: Path) -> None:
    """Another cap with read right uses the handle -> 3 `handle not bound to this capability`; no token -> 2."""
    handle = holder.open("a.txt")
    assert Holder(strata, tree).refusal("fs.read", handle=handle) == (3, "handle not bound to this capability")
    assert strata.refusal("fs.read", {"handle": handle}) == (2, "token required")


def test_073_a_handle_outlives_its_connection(strata: Node, holder: Holder) -> None:
    """Handle opened on one connection is readable on another."""
    with strata.connect("fs") as one:
        handle = wire.result(one.ask("fs.open", {"path": "a.txt"}, token=holder.token))["handle"]
        with strata.connect("fs") as other:
            wire.result(other.ask("fs.read", {"handle": handle}, token=holder.token))
    assert holder.call("fs.read", handle=handle)["bytes_read"] == 13


def test_074_a_listing(holder: Holder, tree: Path) -> None:
    """List: entries sorted by name, fields name/is_dir/size; symlink is_dir false and its own length."""
    entries = holder.call("fs.list", path=".")["entries"]
    assert all(set(entry) == {"name", "is_dir", "size"} for entry in entries)
    assert [entry["name"] for entry in entries] == sorted(os.listdir(tree))
    found = {entry["name"]: entry for entry in entries}
    assert (found["a.txt"]["is_dir"], found["a.txt"]["size"]) == (False, 13)
    assert found["sub"]["is_dir"] is True
    assert found["lnkdir"] == {"name": "lnkdir", "is_dir": False, "size": len("/etc")}


def test_075_an_empty_directory(holder: Holder) -> None:
    """List of empty/ -> `"entries":[]`."""
    assert holder.call("fs.list", path="empty") == {"entries": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [("fs.list", "a.txt"), ("fs.open", "a.txt/x"), ("fs.open", "a\0b"), ("fs.list", "\0"), ("fs.open", "x" * 300)],
)
def test_076_paths_that_cannot_be(strata: Node, holder: Holder, method: str, path: str) -> None:
    """fs.list on a file, fs.open "a.txt/x", path with NUL -> ok:false, daemon alive."""
    before = strata.services()["fs"]["pid"]
    with strata.connect("fs") as connection:
        assert wire.error(connection.ask(method, {"path": path}, token=holder.token))[0] in (1, 4)
        wire.result(connection.ask("fs.list", {"path": "."}, token=holder.token))
    assert strata.services()["fs"]["pid"] == before


def test_077_a_fifo_is_refused_at_once(strata: Node, holder: Holder) -> None:
    """fs.open fifo -> error within 1 s, connection stays usable."""
    with strata.connect("fs") as connection:
        started = time.monotonic()
        assert connection.ask("fs.open", {"path": "fifo"}, token=holder.token)["ok"] is False
        assert time.monotonic() - started < 1.0
        wire.result(connection.ask("fs.open", {"path": "a.txt"}, token=holder.token))


def test_078_a_revoked_capability_does_nothing_more(strata: Node, tree: Path) -> None:
    """Issue, open, revoke: read/open/list with that token -> 3 (or 2), message contains `revoked`, immediately."""
    revoked = Holder(strata, tree)
    handle = revoked.open("a.txt")
    strata.call("identity.revoke", {"cap_id": revoked.cap_id})
    asked = (("fs.read", {"handle": handle}), ("fs.open", {"path": "a.txt"}), ("fs.list", {"path": "."}))
    for method, params in asked:
        code, message = revoked.refusal(method, **params)
        assert code in (2, 3)
        assert "revoked" in message


def test_079_revoking_closes_what_was_open(strata: Node, tree: Path) -> None:
    """After revoke the daemon's fd for the handle is closed (fd count returns to baseline)."""
    path = str(tree / "sub/inner.txt")
    before = strata.descriptors("fs").count(path)
    revoked = Holder(strata, tree)
    for _ in range(10):
        revoked.open("sub/inner.txt")
    assert strata.descriptors("fs").count(path) == before + 10
    strata.call("identity.revoke", {"cap_id": revoked.cap_id})
    assert strata.descriptors("fs").count(path) == before


def test_080_a_revocation_survives_a_killed_fs(disturbed: Node, tree: Path) -> None:
    """Revoke, then kill -9 fs and let it restart: token still refused."""
    revoked, other = Holder(disturbed, tree), Holder(disturbed, tree)
    disturbed.call("identity.revoke", {"cap_id": revoked.cap_id})
    disturbed.kill("fs")
    code, message = revoked.refusal("fs.list", path=".")
    assert code in (2, 3)
    assert "revoked" in message
    other.call("fs.list", path=".")


def test_081_a_revocation_reaches_an_fs_that_was_away(disturbed: Node, tree: Path) -> None:
    """Stop fs, revoke, start fs: token refused."""
    revoked, other = Holder(disturbed, tree), Holder(disturbed, tree)
    disturbed.call("supervisor.svc.stop", {"name": "fs"})
    disturbed.call("identity.revoke", {"cap_id": revoked.cap_id})
    disturbed.call("supervisor.svc.start", {"name": "fs"})
    code, message = revoked.refusal("fs.list", path=".")
    assert code in (2, 3)
    assert "revoked" in message
    other.call("fs.list", path=".")


def test_082_another_user_revokes_nothing(strata: Node, holder: Holder, tree: Path) -> None:
    """fs.revoke from an unauthorised peer -> 2/3, victim's token still works (and so at identity.revoke)."""
    asked = {"cap_id": holder.cap_id}
    other = Holder(strata, tree)
    for method in ("fs.revoke", "identity.revoke"):
        assert strata.refusal(method, asked, uid=NOBODY)[0] in (2, 3)
        assert strata.refusal(method, asked, uid=NOBODY, token=other.token)[0] in (2, 3)
    holder.call("fs.list", path=".")


def test_083_what_happened_stands_in_the_journal(strata: Node, tree: Path) -> None:
    """cap.issued, fs.open, fs.read, cap.revoked, auth.denied with req_id, subject, cap_id, action, resource, time."""
    audited = Holder(strata, tree)
    path = str(tree / "a.txt")
    handle = wire.result(audited.ask("fs.open", {"path": "a.txt"}, req_id="audit-open"))["handle"]
    wire.result(audited.ask("fs.read", {"handle": handle}, req_id="audit-read"))
    wire.error(audited.ask("fs.open", {"path": "/etc/passwd"}, req_id="audit-denied"))
    strata.call("identity.revoke", {"cap_id": audited.cap_id}, req_id="audit-revoke")
    expected = {
        "cap.issued": ("r", "identity.issue", str(tree)),
        "fs.open": ("audit-open", "fs.open", path),
        "fs.read": ("audit-read", "fs.read", path),
        "auth.denied": ("audit-denied", "fs.open", "/etc/passwd"),
        "cap.revoked": ("audit-revoke", "identity.revoke", None),
    }
    records = until(lambda: _audit(strata, audited.cap_id, set(expected)), "all events are in the journal")
    for event, (req_id, action, resource) in expected.items():
        record = records[event]
        assert (record["STRATA_REQ_ID"], record["STRATA_ACTION"]) == (req_id, action), event
        assert record["STRATA_SUBJECT"], event
        assert int(str(record["__REALTIME_TIMESTAMP"])) / 1e6 == pytest.approx(time.time(), abs=60), event
        if resource:
            assert record["STRATA_RESOURCE"] == resource, event
        assert audited.token not in str(record), "a token stands in the journal"


def _audit(strata: Node, cap_id: str, events: set[str]) -> dict[str, dict[str, object]]:
    """The records of a capability by event, once each of `events` is there; else empty."""
    found = {str(record["STRATA_EVENT"]): record for record in strata.manager.journal(f"STRATA_CAP_ID={cap_id}")}
    return found if events <= set(found) else {}

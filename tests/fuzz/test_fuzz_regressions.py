# SPDX-License-Identifier: MIT
"""What fuzzing found, each by the name of how it must be. The wire's are in test_fuzz_wire_regressions.py."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from strata import values
from strata.cli import cp_tree
from strata.cli.cp_tree import Unpacking
from strata.config import OwnerSettings, load
from strata.embedded import record as embedded
from strata.errors import Internal, InvalidArgument, Unavailable
from strata.installation import record as installation
from strata.paths import Paths
from strata.policy import capability
from strata.registry.store import FileStore
from strata.registry.table import Entry
from strata.sandbox import record, signalling
from strata.sandbox.files import diff
from strata.sandbox.files.archive import Choice, write_tree
from strata.sandbox.files.copying import copy_layer
from strata.sandbox.files.diff import Layers
from strata.sandbox.files.overlay import MARKS
from strata.sandbox.files.tarring import Archive
from strata.sandbox.snapshots import Snapshots
from strata.sockets import frame
from strata.sockets.async_client import AsyncClient
from strata.units import kernel, manifest, render, text
from strata.units.directives import TABLE


@pytest.mark.parametrize("host", ["127.0.0.1.example.com", "127.evil", "127.0.0.256", "127.0)).1", "127."])
def test_a_name_that_begins_like_a_loopback_address_is_none(tmp_path: Path, host: str) -> None:
    env = {"STRATA_SERVER_ADDR": f"{host}:2280", "STRATA_INSECURE_NO_AUTH": "yes"}
    with pytest.raises(InvalidArgument, match="for loopback addresses only"):
        load(Paths(tmp_path, tmp_path, tmp_path), env)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.0.9", "localhost", "[::1]"])
def test_loopback_addresses_may_do_without_authentication(tmp_path: Path, host: str) -> None:
    env = {"STRATA_SERVER_ADDR": f"{host}:2280", "STRATA_INSECURE_NO_AUTH": "yes"}
    assert load(Paths(tmp_path, tmp_path, tmp_path), env).api.insecure_no_auth


def test_only_systemd_s_own_white_space_is_cut_off_a_value() -> None:
    """U+0085 and U+00A0 are part of a path, as they are to systemd."""
    (found,) = text.parse("[Socket]\nListenStream= \u0085/run/x\u00a0\t\n")
    assert found.value == "\u0085/run/x\u00a0"
    (one,) = TABLE["Unit"]["ConditionPathExists"].encode(("| !\u00a0/x",))
    assert one.value == [("ConditionPathExists", True, True, "\u00a0/x")]


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_a_time_in_a_token_that_no_four_digits_can_tell_in_utc_is_refused(written: str) -> None:
    with pytest.raises(InvalidArgument, match="expected RFC 3339"):
        capability.time_of(written)


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"])
def test_the_first_and_the_last_time_that_a_token_can_tell_are_written_as_they_were_read(written: str) -> None:
    assert capability.time_text(capability.time_of(written)) == written


@pytest.mark.parametrize("name", [" k", "k ", "k\u00e9", "a/b", "a:b", "..", "x" * 256])
def test_a_credential_s_name_that_systemd_would_not_take_as_it_is_is_refused_at_the_door(name: str) -> None:
    """A blank at an end was cut off on the way, so that the service found the credential under another name."""
    with pytest.raises(InvalidArgument, match="no name of a credential"):
        manifest.parse(f'command = ["/x"]\n[credentials]\n"{name}" = "/etc/k"\n', "x", "x.toml")


def test_a_credential_s_name_may_have_a_blank_inside() -> None:
    found = manifest.parse('command = ["/x"]\n[credentials]\n"a b.c-d" = "/etc/k"\n', "x", "x.toml")
    assert dict(found.credentials) == {"a b.c-d": "/etc/k"}


def _unpacked(tmp_path: Path, *members: tarfile.TarInfo) -> Unpacking:
    archive = tmp_path / "archive.tar"
    with archive.open("wb") as file:
        for member in members:
            file.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        file.write(bytes(1024))
    (tmp_path / "target").mkdir()
    unpacking = Unpacking(str(tmp_path / "target"))
    with archive.open("rb") as file:
        unpacking.all(file.fileno())
    return unpacking


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **headers: str) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.pax_headers = kind, link, headers
    return found


def test_a_name_with_a_nul_in_an_archive_is_left_out_and_told(tmp_path: Path) -> None:
    """Before, the thread that unpacks ended in silence, and a part of the tree was called all of it."""
    hostile = (_member("x", path="a\0b"), _member("l", tarfile.SYMTYPE, linkpath="c\0d"), _member("good"))
    unpacking = _unpacked(tmp_path, *hostile)
    assert unpacking.left_out == ["a\0b (a NUL in a name)", "l (a NUL in a name)"]
    assert os.listdir(tmp_path / "target") == ["good"]


def test_a_link_that_goes_up_behind_another_link_is_left_out(tmp_path: Path) -> None:
    """Counted by its text it stays inside; but a/a/a is the top itself, and what comes then leads out."""
    unpacking = _unpacked(
        tmp_path,
        _member("a", tarfile.SYMTYPE, "."),
        _member("l", tarfile.SYMTYPE, "a/a/../../x"),
        _member("d", tarfile.DIRTYPE),
        _member("d/fine", tarfile.SYMTYPE, "../a/x"),
    )
    assert unpacking.left_out == ["l (a link out of the directory, to a/a/../../x)"]
    assert os.readlink(tmp_path / "target/d/fine") == "../a/x"


@pytest.mark.parametrize("when", ["1e300", "nan", "-1e300", "99999999999999999999"])
def test_a_file_of_a_time_that_cannot_be_told_here_is_copied(tmp_path: Path, when: str) -> None:
    assert _unpacked(tmp_path, _member("f", mtime=when)).count == 1


def test_a_file_with_holes_is_copied_with_holes(tmp_path: Path) -> None:
    """A terabyte that is not there would fill the disk of who copies it."""
    table = b"1\n1099511627772\n4\n".ljust(512, b"\0")
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "f"}
    head = _member("GNUSparseFile.0/f", **sparse, **{"GNU.sparse.realsize": str(2**40)})
    head.size = len(table) + 4
    raw = head.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + table + b"last".ljust(512, b"\0") + bytes(1024)
    (tmp_path / "archive.tar").write_bytes(raw)
    (tmp_path / "target").mkdir()
    with (tmp_path / "archive.tar").open("rb") as file:
        Unpacking(str(tmp_path / "target")).all(file.fileno())
    with (tmp_path / "target/f").open("rb") as copied:
        assert os.fstat(copied.fileno()).st_size == 2**40
        assert os.fstat(copied.fileno()).st_blocks < 64
        copied.seek(2**40 - 4)
        assert copied.read() == b"last"


def test_headers_of_headers_without_end_are_no_archive(tmp_path: Path) -> None:
    with pytest.raises(tarfile.TarError):
        _unpacked(tmp_path, *(_member("", tarfile.XHDTYPE) for _ in range(2000)))


def test_a_copy_whose_thread_fails_in_any_way_says_so() -> None:
    def fails(_fd: int) -> None:
        raise ZeroDivisionError("unforeseen")

    with pytest.raises(Internal, match="cannot copy all of it: unforeseen"), cp_tree._beside(fails, writes=True):
        pass


NESTED = b"[" * 100_000
NO_UTF8 = b'{"owner":"\xc5"}'


@pytest.mark.parametrize("content", [b'{"labels":' + NESTED, NO_UTF8])
def test_a_session_s_record_that_is_no_json_at_all_is_a_damaged_one(tmp_path: Path, content: bytes) -> None:
    """The room could not start for it."""
    (tmp_path / record.FILE).write_bytes(content)
    assert not isinstance(record.load(tmp_path), record.Record)


def test_a_snapshot_s_record_that_is_no_utf_8_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a" / "s").mkdir(parents=True)
    (tmp_path / "a" / "s" / "snapshot.json").write_bytes(NO_UTF8)
    assert Snapshots(tmp_path, OwnerSettings()).of("a") == []


def test_an_installation_s_record_that_is_no_utf_8_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / installation.NAME).write_bytes(b'{"files":["\xc5"]}')
    with pytest.raises(Internal, match="delete it"):
        installation.read(Paths(tmp_path, tmp_path, tmp_path))


def test_a_registry_s_table_of_brackets_without_end_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "table.json").write_bytes(b'[{"service":"a","endpoint":"/x","api_v":1,"owner":0,"more":' + NESTED)
    store = FileStore(tmp_path / "table.json", Entry)
    assert store.load() == ()
    assert (tmp_path / "table.damaged").exists()


@pytest.mark.parametrize("answer", [b'{"ok":"\xc5"}', b'{"result":' + NESTED])
def test_a_reply_that_is_no_json_makes_a_service_unavailable_and_nothing_else(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(frame.encode(answer))
        await writer.drain()
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_unix_server(serve, tmp_path / "s.sock"):
            client = await AsyncClient.connect(tmp_path / "s.sock")
            with pytest.raises(Unavailable):
                await client.call("a.b")
            assert client.closed
            await asyncio.sleep(0)

    asyncio.run(ask())


@pytest.mark.parametrize("name", ["x" * 255, "\u00e9", "plain"])
def test_a_file_with_holes_is_archived_under_its_name_however_long_or_odd(tmp_path: Path, name: str) -> None:
    """Python's tarfile, and with it `cp`, took the stand-in GNUSparseFile.0/NAME for it."""
    top = tmp_path / "top"
    top.mkdir()
    with (top / name).open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    with (tmp_path / "archive.tar").open("w+b") as out:
        archive = Archive(out.fileno())
        fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        write_tree(archive, fd, Choice())
        archive.end()
        os.close(fd)
    assert archive.size < 1 << 20
    with tarfile.open(tmp_path / "archive.tar") as reader:
        assert reader.getnames() == [".", name]
    told = subprocess.run(["tar", "-tf", tmp_path / "archive.tar", "--quoting-style=literal"], capture_output=True)
    assert os.fsdecode(told.stdout).splitlines() == ["./", name]


def test_a_directory_that_is_called_as_a_mark_does_not_keep_a_layer_from_being_copied(tmp_path: Path) -> None:
    for name in ("from", "to", "from/.wh.a", "from/b"):
        (tmp_path / name).mkdir()
    ends = [os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY) for name in ("from", "to")]
    copy_layer(*ends, MARKS["fuse"], 1 << 20)
    for fd in ends:
        os.close(fd)
    assert sorted(os.listdir(tmp_path / "to")) == ["a", "b"]


def test_a_name_too_long_for_a_mark_of_its_own_does_not_keep_changes_from_being_told(tmp_path: Path) -> None:
    """Where marks are files called .wh.NAME, one was looked for, and diff failed with "File name too long"."""
    for name in ("upper", "lower"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / ("x" * 254)).touch()
    (tmp_path / "upper" / "new").touch()
    upper, lower = (os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY) for name in ("upper", "lower"))
    shown, _ = diff.page(Layers(upper, lower, MARKS["fuse"]))
    os.close(upper)
    os.close(lower)
    assert [(change["path"], change["kind"]) for change in shown] == [("/new", "added")]


@pytest.mark.parametrize(
    "read",
    [
        *(values.microseconds, values.nanoseconds, values.size, values.permyriad, values.unsigned64, values.boolean),
        *(kernel.signal_number, signalling.number),
    ],
)
@pytest.mark.parametrize("end", ["", "%", "G", "s"])
@pytest.mark.parametrize("digits", ["9" * 5000, "1" + "0" * 900_000, "0" * 900_000, "1s" * 400_000])
def test_a_value_of_any_length_is_refused_at_once_and_in_few_words(read: Any, digits: str, end: str) -> None:
    """A size of a million digits held the sandbox room up for a minute; others ended as an error of ours."""
    began = time.process_time()
    with pytest.raises(InvalidArgument) as refused:
        read(digits + end)
    assert time.process_time() - began < 1
    assert len(refused.value.message) < 500


@pytest.mark.parametrize("port", ["9" * 5000, "060640606", "65536", "0", "+80"], ids=lambda port: port[:10])
def test_a_port_of_too_many_digits_is_no_port(tmp_path: Path, port: str) -> None:
    """One that began like a port was taken for one."""
    with pytest.raises(InvalidArgument, match="must be HOST:PORT"):
        load(Paths(tmp_path, tmp_path, tmp_path), {"STRATA_SERVER_ADDR": f"127.0.0.1:{port}"})


@pytest.mark.parametrize("mask", ["1\\888888888888888888888888", "1" + "0" * 16, "-1", "0x", "1_0", "f" * 100])
def test_a_mask_that_64_bits_do_not_hold_is_refused(mask: str) -> None:
    """It was sent to systemd, or rather was not: the encoder of D-Bus failed."""
    with pytest.raises(InvalidArgument, match="hexadecimal mask of 64 bits"):
        kernel.core_filter(mask)


def test_a_mask_may_have_all_of_64_bits() -> None:
    assert kernel.core_filter("0xffffffffffffffff") == kernel.core_filter("F" * 16) == 2**64 - 1


@pytest.mark.parametrize("share", ["99999999999999999999999999999999999999900%", "21474836.48%"])
def test_a_share_that_systemd_cannot_hold_is_refused(share: str) -> None:
    """It was sent to systemd, or rather was not: the encoder of D-Bus failed."""
    with pytest.raises(InvalidArgument, match="a percentage of at most 21474836%"):
        TABLE["Service"]["CPUQuota"].encode((share,))


def test_a_socket_that_listens_at_spaces_alone_is_refused() -> None:
    """To systemd that was no address, and the unit one that listens nowhere."""
    with pytest.raises(manifest.ManifestError, match=r"socket\.listen must not be empty"):
        manifest.parse('command = ["/x"]\n[socket]\nlisten = " "\n', "web", "web.toml")


def test_a_record_of_a_systemd_that_began_at_no_time_there_is_cannot_be_read(tmp_path: Path) -> None:
    """A number that JSON may hold, and no integer can."""
    paths = Paths(tmp_path, tmp_path, tmp_path)
    said = '{"runtime_dir":"/r","state_dir":"/s","pid":7,"start_time":1e9999}'
    embedded.path_of(tmp_path).write_text(said)
    with pytest.raises(Internal, match="remove it and run"):
        embedded.read(paths)


@pytest.mark.parametrize("end", ["\\", "\\ ", "\\ \u00a0"])
def test_no_value_makes_the_next_line_its_own(end: str) -> None:
    """A backslash before spaces at the end of a line: whether it joins the next line depends on systemd's version."""
    with pytest.raises(InvalidArgument, match="must be one line that does not end in a backslash"):
        render.single_line(f"/run/web.sock{end}")

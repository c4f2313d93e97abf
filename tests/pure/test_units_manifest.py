# SPDX-License-Identifier: MIT
"""Manifests: what may stand in them, and that each mistake is named with file, key and what was expected."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from refused import refusal

from strata.units import fields, manifest
from strata.units.manifest import ManifestError
from strata.units.model import Health, Limits, Manifest, Restart, Socket

LEAST = 'command = ["/bin/true"]\n'

FULL = """
description = "Says hello"
command = ["${python}", "-m", "hello", "$HOME", "100%"]
type = "notify"
after = ["fs", "fs"]
activation = "on-demand"
profile = "sealed"
state_directory = true
environment = { GREETING = "hello\\tyou" }
credentials = { key = "${config_dir}/hello.key" }
start_timeout = 5
stop_timeout = "1min 30s"

[socket]
listen = "${runtime_dir}/hello.sock"
mode = "0660"

[health]
kind = "watchdog"
interval = "500ms"
failures = 2

[restart]
backoff = 0.5
backoff_max = "10s"
crashes = 3
window = "1min"

[limits]
memory_max = "64M"
tasks_max = 8
cpu_quota = "150%"

[unit.Unit]
ConditionPathExists = ["/etc", "!/no"]

[unit.Service]
ProtectSystem = "strict"
PrivateTmp = true
Nice = 5
Environment = ""
"""


def parse(text: str, name: str = "hello", core: bool = False) -> Manifest:
    return manifest.parse(text, name, "hello.toml", core)


def test_a_command_is_all_that_a_manifest_needs() -> None:
    found = parse(LEAST)
    assert found == Manifest(name="hello", command=("/bin/true",), source="hello.toml")
    assert found.restart == Restart(backoff_sec=1, backoff_max_sec=30, crashes=5, window_sec=120)
    assert found.health is None
    assert found.activation == "always"


def test_every_key_is_read_into_its_type() -> None:
    found = parse(FULL)
    assert found == Manifest(
        name="hello",
        description="Says hello",
        command=("${python}", "-m", "hello", "$HOME", "100%"),
        type="notify",
        after=("fs",),
        activation="on-demand",
        profile="sealed",
        state_directory=True,
        environment={"GREETING": "hello\tyou"},
        credentials={"key": "${config_dir}/hello.key"},
        start_timeout_sec=5.0,
        stop_timeout_sec=90.0,
        socket=Socket(listen="${runtime_dir}/hello.sock", mode=0o660),
        health=Health(kind="watchdog", interval_sec=0.5, failures=2),
        restart=Restart(backoff_sec=0.5, backoff_max_sec=10, crashes=3, window_sec=60),
        limits=Limits(memory_max="64M", tasks_max="8", cpu_quota="150%"),
        unit={
            "Unit": {"ConditionPathExists": ("/etc", "!/no")},
            "Service": {"ProtectSystem": ("strict",), "PrivateTmp": ("yes",), "Nice": ("5",), "Environment": ("",)},
        },
        source="hello.toml",
    )


def test_a_manifest_cannot_be_changed_once_read() -> None:
    found = parse(FULL)
    with pytest.raises(AttributeError):
        found.name = "other"  # type: ignore[misc]
    assert isinstance(found.environment, MappingProxyType)
    assert isinstance(found.unit["Service"], MappingProxyType)


WRONG = [
    ("", "command", "is missing"),
    ('command = "true"', "command", "list of words"),
    ("command = []", "command", "list of words"),
    ('command = ["bin/true"]', "command", "absolute path"),
    ('command = ["-/bin/true"]', "command", "absolute path"),
    ('command = ["/bin/true", 1]', "command", "list of words"),
    (LEAST + "comand = 1", "comand", "did you mean command?"),
    (LEAST + "description = 5", "description", "must be text"),
    (LEAST + 'description = "a\\nb"', "description", "one line"),
    (LEAST + 'type = "simple"', "type", "one of notify, exec"),
    (LEAST + 'after = "fs"', "after", "list of service names"),
    (LEAST + 'after = ["a b"]', "after", "service name"),
    (LEAST + 'after = ["hello"]', "after", "itself"),
    (LEAST + 'activation = "on-demand"', "activation", "needs a [socket]"),
    (LEAST + "socket = 1", "socket", "table"),
    (LEAST + "[socket]", "socket.listen", "is missing"),
    (LEAST + '[socket]\nlisten = "/x"\nmode = 438', "socket.mode", "octal"),
    (LEAST + '[socket]\nlisten = "/x"\nmode = "0999"', "socket.mode", "octal"),
    (LEAST + '[socket]\nlisten = "${rundir}/x"', "socket.listen", "did you mean runtime_dir?"),
    (LEAST + '[health]\nkind = "ping"', "health.kind", "one of watchdog"),
    (LEAST + '[health]\nkind = "watchdog"', "health.kind", 'needs type = "notify"'),
    (LEAST + '[health]\nkind = "http"', "health.url", "is missing"),
    (LEAST + '[health]\nkind = "http"\nurl = "ftp://x"', "health.url", "http://"),
    (LEAST + '[health]\nkind = "http"\nurl = "http://"', "health.url", "must be a URL"),
    (LEAST + '[health]\nkind = "http"\nurl = "http://x:99999/"', "health.url", "must be a URL"),
    (LEAST + '[health]\nkind = "tcp"\ntarget = "localhost"', "health.target", "host:port"),
    (LEAST + '[health]\nkind = "tcp"\ntarget = ":80"', "health.target", "host:port"),
    (LEAST + '[health]\nkind = "tcp"\ntarget = "x:0"', "health.target", "host:port"),
    (LEAST + '[health]\nkind = "tcp"\nurl = "http://x"\ntarget = "x:1"', "health.url", "leave it out"),
    (LEAST + '[health]\nkind = "tcp"\ntarget = "x:1"\ninterval = "soon"', "health.interval", "time span"),
    (LEAST + '[health]\nkind = "tcp"\ntarget = "x:1"\nfailures = 0', "health.failures", "from 1"),
    (LEAST + "[restart]\nbackoff = 0", "restart.backoff", "above zero"),
    (LEAST + "[restart]\nbackoff = 60", "restart.backoff_max", "below backoff"),
    (LEAST + "[restart]\nbackoff = nan", "restart.backoff", "above zero"),
    (LEAST + "[restart]\nbackoff = true", "restart.backoff", "must be text"),
    (LEAST + "[restart]\ncrashes = 1.5", "restart.crashes", "whole number"),
    (LEAST + '[limits]\nmemory_max = "lots"', "limits.memory_max", "size"),
    (LEAST + '[limits]\ncpu_quota = "2"', "limits.cpu_quota", "percentage"),
    (LEAST + "[limits]\ncpu_weight = 0", "limits.cpu_weight", "from 1 to 10000"),
    (LEAST + '[environment]\n"A B" = "x"', "environment", "no name of a variable"),
    (LEAST + '[environment]\nSTRATA_STATE_DIR = "/x"', "environment", "set by Strata"),
    (LEAST + "[environment]\nA = 1", "environment.A", "must be text"),
    (LEAST + '[credentials]\n"a/b" = "/x"', "credentials", "no name of a credential"),
    (LEAST + '[credentials]\nkey = "hunter2"', "credentials.key", "absolute path"),
    (LEAST + '[unit.Install]\nWantedBy = "x.target"', "unit.Install", "leave it out"),
    (LEAST + '[unit.Timer]\nOnBootSec = "1"', "unit.Timer", "expected one of: Unit, Service, Socket"),
    (LEAST + "[unit.Socket]\nBacklog = 1", "unit.Socket", "needs a [socket]"),
    (LEAST + '[unit.Service]\nSlice = "x.slice"', "unit.Service.Slice", "not yours to set"),
    (LEAST + '[unit.Service]\nExecStart = "/x"', "unit.Service.ExecStart", "say it with command"),
    (LEAST + '[unit.Service]\nProtectSytem = "yes"', "unit.Service.ProtectSytem", "did you mean ProtectSystem?"),
    (LEAST + '[unit.Service]\nTimeoutCleanSec = "1"', "unit.Service.TimeoutCleanSec", "on a transient unit"),
    (LEAST + '[unit.Service]\nReadWritePaths = "/x\\nUser=root"', "unit.Service.ReadWritePaths", "one line"),
    (LEAST + "[unit]\nService = 1", "unit.Service", "table"),
]


@pytest.mark.parametrize(("text", "key", "expected"), WRONG, ids=[f"{key}-{n}" for n, (_, key, _) in enumerate(WRONG)])
def test_a_mistake_is_named_with_file_key_and_what_was_expected(text: str, key: str, expected: str) -> None:
    with pytest.raises(ManifestError) as raised:
        parse(text)
    assert raised.value.message.startswith("cannot use manifest hello.toml: ")
    assert raised.value.details == {"file": "hello.toml", "key": key}
    assert key in raised.value.message
    assert expected in raised.value.message


@pytest.mark.parametrize("text", ["command", "= 1", "[a", 'command = ["\\x"]', LEAST * 2, "a" * 10 + "=["])
def test_what_is_not_toml_is_said_so(text: str) -> None:
    with pytest.raises(ManifestError, match="it is not TOML"):
        parse(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("a=" + "[" * 5000)
@example("a=0x" + "f" * 10000 + "\n")
@example("a=" + "9" * 10000 + "\n")
def test_any_text_is_a_manifest_or_a_manifest_error(text: str) -> None:
    for whole in (text, LEAST + text, LEAST + "[unit.Service]\n" + text):
        assert "hello.toml" in (refusal(parse, whole) or "hello.toml")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(manifest._MANIFEST)), _JSON)
def test_any_value_of_any_key_is_read_or_refused_with_the_key(key: str, value: object) -> None:
    assert (refusal(fields.read_table, {key: value}, manifest._MANIFEST) or key).startswith(key)


@given(st.binary(max_size=200))
def test_any_bytes_in_a_file_are_a_manifest_or_an_error_that_names_it(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.toml"
    path.write_bytes(raw)
    assert str(path) in (refusal(manifest.load, path) or str(path))


def test_a_manifest_has_the_name_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "my-app.toml"
    path.write_text(LEAST)
    assert manifest.load(path).name == "my-app"
    assert manifest.load(path).source == str(path)


@pytest.mark.parametrize("name", ["fs", "registry", "identity", "supervisor", "sandbox", "api"])
def test_a_user_cannot_take_the_name_of_a_core_service(name: str) -> None:
    with pytest.raises(ManifestError, match="core service"):
        parse(LEAST, name)
    assert parse(LEAST, name, core=True).core


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "big.toml"
    path.write_text(LEAST + "#" * manifest.MAX_BYTES)
    with pytest.raises(ManifestError, match="larger than 256 KiB"):
        manifest.load(path)


def test_broken_manifests_do_not_hide_good_ones(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(LEAST)
    (tmp_path / "bad.toml").write_text("command = 1")
    (tmp_path / "fs.toml").write_text(LEAST)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "gone.toml").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".hidden.toml").write_text("also bad")
    (tmp_path / "notes.txt").write_text("no manifest")
    found, errors = manifest.load_directory(tmp_path)
    assert [one.name for one in found] == ["good"]
    assert [Path(error.source).name for error in errors] == [
        "bad.toml",
        "bytes.toml",
        "folder.toml",
        "fs.toml",
        "gone.toml",
    ]


def test_a_pipe_among_the_manifests_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    found, errors = manifest.load_directory(tmp_path)
    assert not found
    assert "not a regular file" in errors[0].message


def test_a_manifest_that_anyone_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open.toml"
    path.write_text(LEAST)
    path.chmod(0o666)
    with pytest.raises(ManifestError, match="chmod o-w"):
        manifest.load(path)


def test_no_directory_means_no_manifests(tmp_path: Path) -> None:
    assert manifest.load_directory(tmp_path / "none") == ([], [])


def test_something_else_where_the_directory_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "services.d").write_text("")
    found, errors = manifest.load_directory(tmp_path / "services.d")
    assert not found
    assert "cannot be read" in errors[0].message


def test_the_core_services_are_read_from_the_package_in_the_order_they_start() -> None:
    core = manifest.load_core()
    assert [one.name for one in core] == ["registry", "identity", "fs", "sandbox", "api"]
    assert all(one.core and one.type == "notify" and one.socket and one.health for one in core)
    both = ("registry", "identity")
    assert [one.after for one in core] == [(), ("registry",), both, both, ("sandbox",)]


def named(name: str, *after: str) -> Manifest:
    return Manifest(name=name, command=("/bin/true",), after=after, source=f"{name}.toml")


def test_dependencies_come_first_and_the_rest_as_given() -> None:
    given_order = [named("d", "b"), named("a"), named("c"), named("b", "c")]
    assert [one.name for one in manifest.order(given_order)] == ["a", "c", "b", "d"]


def test_an_unknown_dependency_is_named_with_the_file() -> None:
    with pytest.raises(
        ManifestError, match=r"a\.toml: after names registri, which is no service; did you mean registry\?"
    ):
        manifest.order([named("a", "registri"), named("registry")])


def test_a_circle_is_printed() -> None:
    with pytest.raises(ManifestError, match="goes in a circle") as raised:
        manifest.order([named("a", "b"), named("b", "c"), named("c", "a"), named("d", "a")])
    circle = raised.value.message.rpartition(": ")[2].split(" → ")
    after = {"a": "b", "b": "c", "c": "a"}
    assert circle[0] == circle[-1]
    assert all(after[one] == other for one, other in itertools.pairwise(circle))


def test_a_manifest_is_plain_data() -> None:
    assert msgspec.json.decode(
        msgspec.json.encode(msgspec.structs.replace(parse(FULL), environment={}, credentials={}, unit={}))
    )

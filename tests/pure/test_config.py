# SPDX-License-Identifier: MIT
"""strata.toml: every key optional, every mistake told with the file, the key and what was expected."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strata import config
from strata.errors import InvalidArgument
from strata.paths import Paths
from strata.units import manifest


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "run", tmp_path / "state", tmp_path)


def write(paths: Paths, text: str) -> Paths:
    (paths.config_dir / "strata.toml").write_text(text, encoding="utf-8")
    return paths


def test_without_a_file_the_defaults_hold(paths: Paths) -> None:
    assert config.load(paths, {}) == config.Settings()
    assert config.Settings().node_id == "local-0"


def test_a_whole_file_is_read(paths: Paths) -> None:
    text = """
        node_id = "web-1"
        log_level = "debug"
        [identity]
        default_ttl_seconds = 60
        max_ttl_seconds = 600
        key_overlap_seconds = 700
        key_file = "/etc/strata/identity.key"
        [fs]
        strict_paths = true
        [operators]
        uids = [1000]
        gids = [27, 100]
        groups = ["wheel"]
        [core]
        sandbox = false
        api = false
        [api]
        tls_certificate = "/etc/ssl/web.pem"
        tls_key = "/etc/ssl/private/web.key"
    """
    assert config.load(write(paths, text), {}) == config.Settings(
        node_id="web-1",
        log_level="debug",
        identity=config.IdentitySettings(60, 600, 700, "/etc/strata/identity.key"),
        fs=config.FsSettings(True),
        operators=config.OperatorSettings((1000,), (27, 100), ("wheel",)),
        core=config.CoreSettings(sandbox=False, api=False),
        api=config.ApiSettings(tls_certificate="/etc/ssl/web.pem", tls_key="/etc/ssl/private/web.key"),
    )


def test_the_environment_goes_before_the_file(paths: Paths) -> None:
    write(paths, 'node_id = "file"\nlog_level = "debug"')
    found = config.load(paths, {"STRATA_NODE_ID": "env", "STRATA_LOG_LEVEL": "error"})
    assert (found.node_id, found.log_level) == ("env", "error")


def test_an_empty_variable_is_none_at_all(paths: Paths) -> None:
    assert config.load(write(paths, 'node_id = "file"'), {"STRATA_NODE_ID": ""}).node_id == "file"


WRONG = {
    "an unknown key": ("nod_id = 'x'", "nod_id"),
    "an unknown key in a table": ("[fs]\nstrict = true", "strict"),
    "an unknown table": ("[network]\nport = 1", "network"),
    "text for a truth": ("[fs]\nstrict_paths = 'yes'", "fs.strict_paths"),
    "text for a number": ("[identity]\nmax_ttl_seconds = '1h'", "identity.max_ttl_seconds"),
    "a fraction for a number": ("[identity]\nmax_ttl_seconds = 1.5", "identity.max_ttl_seconds"),
    "a name for a uid": ("[operators]\nuids = ['root']", "operators.uids"),
    "a number for a list": ("[operators]\nuids = 0", "operators.uids"),
    "a value for a table": ("fs = 1", "fs"),
    "no time to live": ("[identity]\ndefault_ttl_seconds = 0", "identity.default_ttl_seconds"),
    "a default over the maximum": ("[identity]\nmax_ttl_seconds = 60", "identity.default_ttl_seconds"),
    "eleven years": ("[identity]\nmax_ttl_seconds = 346896000", "identity.max_ttl_seconds"),
    "keys that die before their tokens": ("[identity]\nkey_overlap_seconds = 60", "identity.key_overlap_seconds"),
    "an unknown level": ("log_level = 'loud'", "log_level"),
    "an empty node id": ("node_id = ''", "node_id"),
    "a node id of two words": ("node_id = 'a b'", "node_id"),
    "a node id of two lines": ("node_id = 'a\\nb'", ""),
    "no identity for those who check tokens": ("[core]\nidentity = false", "fs, sandbox need it"),
    "no registry": ("[core]\nregistry = false", "core.registry = false: identity, fs, sandbox need it"),
    "a door that leads nowhere": ("[core]\nsandbox = false", "api needs it; leave it out, or set core.api = false too"),
    "an unknown core service": ("[core]\nsupervisor = false", "supervisor"),
    "a seed by a relative path": ("[identity]\nkey_file = 'identity.key'", "identity.key_file"),
    "a certificate by a relative path": ("[api]\ntls_certificate = 'a.pem'\ntls_key = '/k.pem'", "api.tls_certificate"),
    "a private key by a relative path": ("[api]\ntls_certificate = '/a.pem'\ntls_key = 'k.pem'", "api.tls_key"),
    "a certificate without its key": ("[api]\ntls_certificate = '/a.pem'", "needs api.tls_key"),
    "a key without its certificate": ("[api]\ntls_key = '/k.pem'", "needs api.tls_certificate"),
    "a group by its number": ("[operators]\ngroups = ['27']", "operators.gids"),
    "a group without a name": ("[operators]\ngroups = ['']", "operators.groups"),
    "a uid below zero": ("[operators]\nuids = [-1]", "operators.uids"),
    "no TOML": ("[identity", "cannot read"),
    "a key twice": ("node_id = 'a'\nnode_id = 'b'", "cannot read"),
}


@pytest.mark.parametrize(("text", "names"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_told_with_the_file_and_the_key(paths: Paths, text: str, names: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^cannot ") as caught:
        config.load(write(paths, text.replace("'a\\nb'", '"a\\nb"')), {})
    assert str(paths.config_dir / "strata.toml") in caught.value.message
    assert names in caught.value.message


@pytest.mark.parametrize(
    "without", [("api",), ("api", "sandbox"), ("fs",), ("api", "sandbox", "fs"), ("api", "sandbox", "fs", "identity")]
)
def test_a_node_may_do_without_those_that_no_other_needs(paths: Paths, without: tuple[str, ...]) -> None:
    text = "[core]\n" + "\n".join(f"{name} = false" for name in without)
    core = config.load(write(paths, text), {}).core
    assert {name for name in config.CORE_NEEDS if not getattr(core, name)} == set(without)


def test_what_the_settings_say_of_the_core_is_what_its_manifests_say() -> None:
    assert {one.name: one.after for one in manifest.load_core()} == config.CORE_NEEDS
    assert {field.name for field in msgspec.structs.fields(config.CoreSettings)} == config.CORE_NEEDS.keys()


@pytest.mark.parametrize(("variable", "value"), [("STRATA_LOG_LEVEL", "loud"), ("STRATA_NODE_ID", "a b")])
def test_a_mistake_in_the_environment_is_told_too(paths: Paths, variable: str, value: str) -> None:
    with pytest.raises(InvalidArgument, match="environment"):
        config.load(paths, {variable: value})


def test_a_file_that_is_no_text_is_told(paths: Paths) -> None:
    (paths.config_dir / "strata.toml").write_bytes(b"node_id = '\xff'")
    with pytest.raises(InvalidArgument, match=r"cannot read .*strata\.toml"):
        config.load(paths, {})


def test_a_directory_in_the_files_place_is_told(paths: Paths) -> None:
    (paths.config_dir / "strata.toml").mkdir()
    with pytest.raises(InvalidArgument, match=r"cannot read .*strata\.toml"):
        config.load(paths, {})


@given(st.binary(max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_settings_or_invalid_argument(paths: Paths, content: bytes) -> None:
    (paths.config_dir / "strata.toml").write_bytes(content)
    with contextlib.suppress(InvalidArgument):
        assert isinstance(config.load(paths, {}), config.Settings)


def test_the_three_directories_come_from_their_variables() -> None:
    env = {"STRATA_RUNTIME_DIR": "/a/../r/", "STRATA_STATE_DIR": "/s", "STRATA_CONFIG_DIR": "/c"}
    found = Paths.from_env(env)
    assert found == Paths(Path("/r"), Path("/s"), Path("/c"))
    assert Paths.from_env(found.environment()) == found
    assert found.socket("fs") == Path("/r/fs.sock")


@pytest.mark.parametrize("value", ["relative", "./x", "/a\0b", "~/x"])
def test_a_directory_that_is_not_absolute_is_refused_by_its_variable(value: str) -> None:
    with pytest.raises(InvalidArgument, match="STRATA_STATE_DIR"):
        Paths.from_env({"STRATA_STATE_DIR": value})


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        (0, Paths(Path("/run/strata"), Path("/var/lib/strata"), Path("/etc/strata"))),
        (1000, Paths(Path("/run/user/1000/strata"), Path("/h/.local/state/strata"), Path("/h/.config/strata"))),
    ],
)
def test_defaults_follow_who_we_are(uid: int, expected: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert Paths.from_env({"HOME": "/h"}) == expected

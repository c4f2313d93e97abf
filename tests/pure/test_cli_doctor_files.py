# SPDX-License-Identifier: MIT
"""doctor on the files that the settings name: a seed, a certificate and its key."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from authority import DAY, Authority

from strata.cli import checks_files
from strata.cli.checks import FAIL, OK, WARN
from strata.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "run", tmp_path / "state", tmp_path)


def settings(paths: Paths, text: str) -> None:
    (paths.config_dir / "strata.toml").write_text(text)


def with_pair(paths: Paths, certificate: Path, key: Path) -> None:
    settings(paths, f'[api]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n')


def test_a_node_without_files_from_outside_is_well(paths: Paths) -> None:
    assert [check(paths).level for check in checks_files.FILES] == [OK, OK]


@pytest.mark.parametrize(("mode", "level"), [(0o600, OK), (0o640, OK), (0o644, FAIL), (0o620, FAIL)])
def test_a_seed_is_for_nobody_else(paths: Paths, mode: int, level: str) -> None:
    file = paths.config_dir / "seed"
    file.write_bytes(bytes(32))
    file.chmod(mode)
    settings(paths, f'[identity]\nkey_file = "{file}"\n')
    assert checks_files.identity_key(paths).level == level


def test_files_that_are_not_there_are_named(paths: Paths) -> None:
    settings(paths, '[identity]\nkey_file = "/no/seed"\n[api]\ntls_certificate = "/no/pem"\ntls_key = "/no/key"\n')
    found = [check(paths) for check in checks_files.FILES]
    assert [(one.level, one.text.partition(":")[0]) for one in found] == [(FAIL, "/no/seed"), (FAIL, "/no/pem")]


@pytest.mark.parametrize(
    ("left", "level", "says"),
    [(90 * DAY, OK, "valid until"), (13 * DAY, WARN, "in 13 days"), (-DAY, FAIL, "expired at")],
    ids=["three months", "13 days", "expired"],
)
def test_a_certificate_is_told_with_its_end(paths: Paths, left: datetime.timedelta, level: str, says: str) -> None:
    with_pair(paths, *Authority(paths.config_dir).issue(left=left + DAY / 24))
    found = checks_files.certificate(paths)
    assert (found.level, says in found.text) == (level, True)


def test_a_pair_that_is_none_is_told(paths: Paths) -> None:
    authority = Authority(paths.config_dir)
    with_pair(paths, authority.issue("one")[0], authority.issue("other")[1])
    assert checks_files.certificate(paths).level == FAIL
    with_pair(paths, authority.issue("one")[1], authority.issue("one")[1])
    assert "no certificate" in checks_files.certificate(paths).text


def test_an_address_of_the_network_without_tls_is_a_warning(paths: Paths) -> None:
    settings(paths, '[api]\naddress = "0.0.0.0:2280"\n')
    assert checks_files.certificate(paths).level == WARN
    settings(paths, '[api]\naddress = "0.0.0.0:2280"\n[core]\napi = false\n')
    assert checks_files.certificate(paths).level == OK

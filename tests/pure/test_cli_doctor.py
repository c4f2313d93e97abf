# SPDX-License-Identifier: MIT
"""doctor: looks at the real machine, and names the mend of whatever is not well."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from strata.cli import checks, checks_here, directories, doctor
from strata.cli.checks import FAIL, OK, WARN
from strata.errors import PermissionDenied, Unavailable
from strata.paths import Paths

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory away")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "run", tmp_path / "state", tmp_path / "etc")


def test_every_requirement_is_a_row_with_a_level(paths: Paths) -> None:
    findings = doctor.examine(paths)
    named = {finding.name for finding in findings}
    assert {
        "kernel",
        "systemd",
        "cgroups",
        "openat2",
        "bwrap",
        "python",
        "pystemd",
        "clock",
        "state directory",
    } <= named
    assert {finding.level for finding in findings} <= {OK, WARN, FAIL}


def test_whatever_is_not_well_names_its_mend(paths: Paths) -> None:
    assert [f.name for f in doctor.examine(paths) if f.level != OK and not f.mend] == []


@pytest.mark.parametrize(
    ("version", "level"), [("", FAIL), ("247.3", FAIL), ("252.39-1", WARN), ("253", WARN), ("254", OK), ("257.8", OK)]
)
def test_an_old_systemd_is_told_what_it_lacks(version: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.modes, "systemd_version", lambda: version)
    assert checks.systemd().level == level


@pytest.mark.parametrize(
    ("release", "level"),
    [("5.4.0-100", FAIL), ("5.6.0", WARN), ("5.10.0-30-amd64", WARN), ("5.11.0", OK), ("6.1.0", OK)],
)
def test_an_old_kernel_is_told(release: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks.platform, "release", lambda: release)
    assert checks.kernel().level == level


def test_a_runtime_directory_that_others_may_write_is_refused(paths: Paths) -> None:
    paths.runtime_dir.mkdir()
    paths.runtime_dir.chmod(0o777)
    finding = checks_here.runtime_dir(paths)
    assert finding.level == FAIL
    assert "writable by everyone" in finding.text
    assert finding.mend.endswith(f"chmod 0755 {paths.runtime_dir}")
    with pytest.raises(PermissionDenied, match="writable by everyone"):
        directories.make(paths)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
@needs_root
def test_whatever_the_umask_services_may_enter_what_is_made_and_only_root_may_write(paths: Paths, umask: int) -> None:
    nested = paths._replace(runtime_dir=paths.runtime_dir / "deep" / "down")
    before = os.umask(umask)
    try:
        directories.make(nested)
    finally:
        os.umask(before)
    made = (nested.runtime_dir, nested.runtime_dir.parent, nested.state_dir)
    assert {path.stat().st_mode & 0o777 for path in made} == {0o755}


@needs_root
def test_an_empty_closed_directory_is_opened_and_one_in_use_is_refused(paths: Paths) -> None:
    paths.runtime_dir.mkdir(mode=0o700)
    directories.make(paths)
    assert paths.runtime_dir.stat().st_mode & 0o777 == 0o755
    (paths.runtime_dir / "mine").touch()
    paths.runtime_dir.chmod(0o700)
    with pytest.raises(PermissionDenied, match="mode 0700: no service could enter it; `chmod 0755"):
        directories.make(paths)
    assert checks_here.runtime_dir(paths).level == FAIL


@needs_root
def test_a_directory_below_another_users_is_refused(paths: Paths, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    (tmp_path / "link").symlink_to(theirs)
    for above in (theirs, tmp_path / "link"):
        with pytest.raises(PermissionDenied, match=r"run cannot be kept safe: .* belongs to uid 65534"):
            directories.make(paths._replace(runtime_dir=above / "run"))
        assert checks_here.runtime_dir(paths._replace(runtime_dir=above / "run")).level == FAIL


@needs_root
def test_a_link_of_another_user_in_a_sticky_directory_is_refused(paths: Paths, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "ours").mkdir()
    (shared / "link").symlink_to(tmp_path / "ours")
    directories.make(paths._replace(runtime_dir=shared / "link" / "run"))
    os.lchown(shared / "link", 65534, 65534)
    with pytest.raises(PermissionDenied, match="link belongs to uid 65534"):
        directories.make(paths._replace(runtime_dir=shared / "link" / "run"))


@needs_root
def test_a_runtime_directory_of_another_user_is_refused(paths: Paths) -> None:
    paths.runtime_dir.mkdir()
    os.chown(paths.runtime_dir, 65534, 65534)
    with pytest.raises(PermissionDenied, match="belongs to uid 65534"):
        directories.make(paths)


def test_a_runtime_directory_that_is_a_link_is_refused(paths: Paths) -> None:
    paths.runtime_dir.symlink_to("/tmp")
    with pytest.raises((PermissionDenied, Unavailable), match=r"cannot (use|make)"):
        directories.make(paths)


def test_the_sockets_of_a_crash_are_found(paths: Paths) -> None:
    directories.make(paths)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(paths.socket("fs")))
    finding = checks_here.runtime_dir(paths)
    assert finding.level == FAIL
    assert "fs.sock" in finding.text
    assert finding.mend == "strata-ctl down && strata-ctl up"


def test_a_broken_manifest_is_named(paths: Paths) -> None:
    paths.services_d.mkdir(parents=True)
    (paths.services_d / "web.toml").write_text("comand = 1")
    finding = checks_here.settings(paths)
    assert finding.level == FAIL
    assert "web.toml" in finding.text


def test_sweeping_removes_what_is_stratas_and_names_what_is_not(paths: Paths) -> None:
    directories.make(paths)
    paths.socket("fs").touch()
    paths.identity_pub.touch()
    (paths.runtime_dir / "mine").touch()
    assert directories.sweep(paths) == ["mine"]
    (paths.runtime_dir / "mine").unlink()
    assert directories.sweep(paths) == []
    assert not paths.runtime_dir.exists()
    assert directories.sweep(paths) == []


def test_one_turn_at_a_time_and_no_trace_of_it(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    directories.make(paths)
    monkeypatch.setattr(directories, "PATIENCE", 0.1)
    with (
        directories.turn(paths),
        pytest.raises(Exception, match="another `up` or `down`"),
        directories.turn(paths),
    ):
        pass
    assert os.listdir(paths.runtime_dir) == []

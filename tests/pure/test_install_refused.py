# SPDX-License-Identifier: MIT
"""What `install` and `uninstall` refuse before they touch anything, and what they warn of."""

from __future__ import annotations

from pathlib import Path

import pytest

from strata.cli import install, modes, uninstall
from strata.cli.installed import Installed
from strata.errors import Conflict, InvalidArgument, StrataError, Unavailable
from strata.installation import layout
from strata.installation.layout import Target
from strata.paths import Paths


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Facts about a machine, for a test to change."""
    facts: dict[str, object] = {"root": True, "booted": True, "user_manager": False, "installed": True}
    monkeypatch.setattr(modes, "facts", lambda: modes.Facts(**facts))  # type: ignore[arg-type]
    monkeypatch.setattr(install.os, "geteuid", lambda: 0 if facts["root"] else 1000)
    monkeypatch.setattr(install.installed, "find", lambda target=None: None)
    return facts


@pytest.mark.parametrize(
    ("target", "start", "changed", "why"),
    [
        ("admin", True, {"root": False}, "you are not root; run it with sudo, or for yourself with --user"),
        ("admin", True, {"booted": False}, "PID 1 is not systemd.*`strata-ctl up`.*`--no-start`.*`--root DIR`"),
        ("user", True, {}, "you are root; do it as that user"),
        ("user", True, {"root": False}, "no systemd --user answers; .*enable-linger.*; `--no-start`"),
    ],
)
def test_a_machine_where_it_cannot_be_is_told_what_to_do(
    target: Target, start: bool, changed: dict[str, object], why: str, machine: dict[str, object]
) -> None:
    machine.update(changed)
    with pytest.raises(Unavailable, match=why):
        install._refuse(target, start)


def test_files_can_be_written_where_no_systemd_runs(machine: dict[str, object]) -> None:
    machine.update(booted=False)
    install._refuse("admin", start=False)


def test_what_a_package_uses_as_well_is_not_purged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Both are there when the package came later."""
    monkeypatch.setattr(uninstall.os, "geteuid", lambda: 0)
    monkeypatch.setattr(uninstall.installed, "find", lambda target=None: Installed(target, tmp_path / "unit"))
    with pytest.raises(Conflict, match=r"a package has installed Strata too.*without --purge"):
        uninstall._refuse("admin", everything=True)
    uninstall._refuse("admin", everything=False)


@pytest.fixture
def unusable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Directories of a Strata whose settings nobody can read."""
    paths = Paths(tmp_path / "run", tmp_path / "state", tmp_path)
    (tmp_path / "strata.toml").write_text("[sandbox\n")
    for name, value in paths.environment().items():
        monkeypatch.setenv(name, value)
    return paths


def test_unusable_settings_are_told_before_anything_is_written(unusable: Paths, machine: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot read .*strata\.toml"):
        install._here("admin", start=False)
    assert not unusable.state_dir.exists()


def test_what_unusable_settings_are_beside_can_be_judged_and_removed(unusable: Paths) -> None:
    assert {one.kind for one in install.wanted("admin", unusable)} == layout.PLACES["admin"].keys()


@pytest.mark.parametrize(
    ("state", "sandboxes", "lost"),
    [
        ("Healthy", {"active_sessions": 0}, ""),
        ("Healthy", {"active_sessions": 2}, "with 2 open sandboxes, which end with it"),
        ("Healthy", {"error": "it is busy"}, "and may have open sandboxes, which end with it: it is busy"),
        ("Crashed", None, "and may have open sandboxes, which end with it: its sandbox service is Crashed"),
        ("Stopped", None, ""),
        (None, None, ""),
    ],
)
def test_sandboxes_that_cannot_be_counted_are_taken_for_open(state: str, sandboxes: object, lost: str) -> None:
    rows = [{"name": "fs", "state": "Healthy"}, *([{"name": "sandbox", "state": state}] if state else [])]
    found = {"services": rows} | ({"sandboxes": sandboxes} if sandboxes else {})
    assert install._lost(found) == lost


def test_code_that_others_could_change_is_told_to_who_has_root_run_it(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert install.risk(["", str(tmp_path / "open")]) == ""
    (tmp_path / "open").chmod(0o777)
    assert install.risk([str(tmp_path), str(tmp_path / "open/lib")]) == f"{tmp_path}/open is writable by everyone"


def test_beside_a_package_nothing_is_installed(machine: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    there = install.installed.Installed("package", Path("/usr/lib/x"))
    monkeypatch.setattr(install.installed, "find", lambda target=None: there)
    with pytest.raises(StrataError, match="a package has installed Strata already"):
        install._refuse("admin", start=True)

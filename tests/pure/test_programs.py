# SPDX-License-Identifier: MIT
"""Programs are found where STRATA_PATH and PATH say, and what is missing is told in the distribution's own words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from strata import programs
from strata.errors import InvalidArgument


def _program(directory: Path, name: str) -> str:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_what_strata_path_names_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = _program(tmp_path / "a", "strata-probe"), _program(tmp_path / "b", "strata-probe")
    monkeypatch.setenv("STRATA_PATH", str(tmp_path / "a"))
    monkeypatch.setenv("PATH", str(tmp_path / "b"))
    assert programs.find("strata-probe") == first


def test_without_strata_path_it_is_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = _program(tmp_path / "b", "strata-probe")
    monkeypatch.delenv("STRATA_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "b"))
    assert programs.find("strata-probe") == found


def test_a_path_that_is_relative_is_not_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "here", "strata-probe")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "here::.")
    assert programs.find("strata-probe") == ""


def test_a_directory_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a/strata-probe").mkdir(parents=True)
    found = _program(tmp_path / "b", "strata-probe")
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/b")
    assert programs.find("strata-probe") == found


def test_directories_of_administrators_are_looked_in_though_path_lacks_them() -> None:
    assert programs.directories({"PATH": "/usr/bin"})[:3] == ("/usr/bin", "/usr/local/sbin", "/usr/sbin")


@pytest.mark.parametrize("wrong", ["bin", "/a:b", "/a:", ":/a", "/a::/b", "/a\n", "/a:/b\x00"])
def test_a_strata_path_that_is_no_list_of_absolute_directories_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot use STRATA_PATH: .* is no absolute directory"):
        programs.search_path({"STRATA_PATH": wrong})


def test_a_strata_path_is_taken_as_it_is() -> None:
    assert programs.search_path({"STRATA_PATH": "/nix/store/a/bin:/b c"}) == "/nix/store/a/bin:/b c"
    assert programs.search_path({}) == ""


def test_a_missing_program_is_told_with_how_it_is_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="there is no fuse-nothing: ") as caught:
        programs.required("fuse-nothing", "fuse-overlayfs")
    assert caught.value.strerror
    assert "fuse-overlayfs" in caught.value.strerror


@pytest.mark.parametrize(
    ("family", "package", "said"),
    [
        ("debian", "bubblewrap", "apt-get install bubblewrap"),
        ("debian", "libseccomp", "apt-get install libseccomp2"),
        ("fedora", "libseccomp", "dnf install libseccomp"),
        ("arch", "e2fsprogs", "pacman -S e2fsprogs"),
        ("another", "e2fsprogs", "install e2fsprogs as your distribution does"),
    ],
)
def test_each_distribution_has_its_own_words(family: str, package: str, said: str) -> None:
    assert programs.install(package, family) == said


def test_on_nixos_nothing_is_installed_by_hand() -> None:
    assert "pkgs.bubblewrap" in programs.install("bubblewrap", "nixos")
    assert "services.strata.sandbox.packages" in programs.install("shell", "nixos")


@pytest.mark.parametrize(
    ("ids", "family"),
    [
        ({"ID": "debian"}, "debian"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "debian"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "fedora"),
        ({"ID": "nixos"}, "nixos"),
    ],
)
def test_a_derived_distribution_is_as_the_one_it_is_like(
    ids: dict[str, str], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: ids)
    assert programs.install("systemd") == programs.install("systemd", family)


def test_the_programs_that_sandboxes_take_are_found_on_this_machine() -> None:
    for name, package in (("bwrap", "bubblewrap"), ("mke2fs", "e2fsprogs")):
        assert os.access(programs.required(name, package), os.X_OK)

# SPDX-License-Identifier: MIT
"""The wheel: all that Strata needs at run time is in it, and nothing else; installed, it works without the source."""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from strata import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, for setuptools writes beside what it builds."""
    where = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copy(REPOSITORY / name, where)
    shutil.copytree(REPOSITORY / "strata", where / "strata", ignore=shutil.ignore_patterns("__pycache__"))
    argv = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        str(where),
        str(where),
    ]
    subprocess.run([sys.executable, "-m", "pip", *argv], check=True, capture_output=True)
    (made,) = where.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of programs of a fresh environment that has the wheel, and this one's libraries."""
    where = tmp_path_factory.mktemp("installed")
    venv.create(where, symlinks=True)
    library = where / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    argv = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(where / "bin/python"), *argv], check=True)
    # After its own, so that what is imported as strata is the wheel's.
    (library / "libraries.pth").write_text("".join(f"{path}\n" for path in site.getsitepackages()))
    return where / "bin"


def run(program: Path, *arguments: str, home: Path) -> str:
    """What it says, run without anything of this environment."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(home)}
    return subprocess.run(
        [str(program), *arguments], env=env, cwd=home, check=True, capture_output=True, text=True
    ).stdout


def test_every_file_of_the_package_is_in_it_and_no_other(wheel: Path) -> None:
    there = {str(file.relative_to(REPOSITORY)) for file in REPOSITORY.glob("strata/**/*") if file.is_file()}
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if not name.startswith(f"strata-{__version__}.dist-info/")}
    assert packed == {name for name in there if "__pycache__" not in name}


def test_it_is_for_every_machine(wheel: Path) -> None:
    assert wheel.name == f"strata-{__version__}-py3-none-any.whl"


def test_both_programs_run_from_it(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "strata-ctl", "--version", home=tmp_path) == f"strata-ctl {__version__}\n"
    assert run(installed / "strata", "--version", home=tmp_path) == f"strata {__version__}\n"


def test_what_runs_is_the_wheel_and_not_the_source(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "python", "-c", "import strata; print(strata.__file__)", home=tmp_path)
    assert Path(said.strip()).is_relative_to(installed.parent)


def test_units_manual_pages_and_completions_come_out_of_it(installed: Path, tmp_path: Path) -> None:
    run(installed / "strata-ctl", "install", "--root", str(tmp_path / "root"), home=tmp_path)
    made = {file.name for file in (tmp_path / "root").glob("**/*") if file.is_file()}
    assert {"strata-supervisor.service", "strata.slice", "strata-ctl.1", "strata.7", "_strata-ctl"} <= made


def test_the_core_s_manifests_are_judged_good_from_it(installed: Path, tmp_path: Path) -> None:
    assert "is good" in run(installed / "strata-ctl", "config", "check", str(tmp_path), home=tmp_path)

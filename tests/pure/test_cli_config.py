# SPDX-License-Identifier: MIT
"""config check: every mistake in a configuration directory is told, before anything runs by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from strata.cli import config, verbs

TRUE = 'command = ["/bin/true"]\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "services.d").mkdir()
    return tmp_path


def problems(directory: Path, **files: str) -> list[str]:
    """What is wrong with a directory of these manifests and, as `strata`, these settings."""
    for name, text in files.items():
        file = directory / "strata.toml" if name == "strata" else directory / "services.d" / f"{name}.toml"
        file.write_text(text)
    return config.judge(directory)[1]


def test_a_directory_without_mistakes_has_no_problem(directory: Path) -> None:
    assert problems(directory, strata='node_id = "n1"', wiki=TRUE + 'after = ["fs"]') == []


def test_a_directory_may_be_empty(directory: Path) -> None:
    assert problems(directory) == []


def test_a_directory_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert config.judge(tmp_path / "none") == ([], [f"cannot check {tmp_path}/none: it is no directory"])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("node_id = ", "strata.toml: Invalid value"),
        ('node = "n1"', "unknown field `node`"),
        ("[api]\naddress = 80", "Expected `str`, got `int` - at `$.api.address`"),
        ('[sandbox]\nlifetime = "soon"', "sandbox.lifetime"),
        ("[core]\nidentity = false", "core.identity = false"),
    ],
)
def test_settings_that_cannot_be_used_are_told_by_file_and_key(directory: Path, settings: str, told: str) -> None:
    (problem,) = problems(directory, strata=settings)
    assert told in problem
    assert f"{directory}/strata.toml" in problem


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ("command = [", "it is not TOML"),
        ("", "command is missing"),
        (TRUE + "colour = 1", "colour"),
        (TRUE + "[unit.Service]\nMemoryMaxx = 5", "there is no such directive; did you mean MemoryMax?"),
        (TRUE + '[unit.Service]\nMemoryMax = "much"', "MemoryMax"),
        (TRUE + '[socket]\nlisten = "${nope}/x"', "${nope} is no placeholder"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_told_by_file_and_key(directory: Path, manifest: str, told: str) -> None:
    (problem,) = problems(directory, wiki=manifest)
    assert told in problem
    assert f"{directory}/services.d/wiki.toml" in problem


def test_every_broken_file_is_told_at_once(directory: Path) -> None:
    assert len(problems(directory, strata="x = 1", a="y = 2", b="command = 3", c=TRUE)) == 3


def test_a_dependency_that_is_no_service_is_told(directory: Path) -> None:
    assert problems(directory, a=TRUE + 'after = ["wiki"]') == [
        f"cannot use manifest {directory}/services.d/a.toml: after names wiki, which is no service"
    ]


def test_a_dependency_that_is_broken_is_told_once(directory: Path) -> None:
    (problem,) = problems(directory, a=TRUE + 'after = ["b"]', b="command = 3")
    assert "b.toml" in problem


def test_a_dependency_that_the_settings_leave_out_is_told(directory: Path) -> None:
    (problem,) = problems(directory, strata="[core]\nfs = false", a=TRUE + 'after = ["fs"]')
    assert problem.endswith("after names fs, which strata.toml leaves out (core.fs = false)")


def test_a_circle_is_told(directory: Path) -> None:
    (problem,) = problems(directory, a=TRUE + 'after = ["b"]', b=TRUE + 'after = ["a"]')
    assert "goes in a circle" in problem


def test_the_environment_does_not_count(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRATA_SANDBOX_MAX_SESSIONS", "many")
    monkeypatch.setenv("STRATA_LOG_LEVEL", "chatty")
    assert problems(directory) == []


def test_the_verb_prints_one_line_and_succeeds_when_all_is_good(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    problems(directory, wiki=TRUE)
    assert verbs.run(["config", "check", str(directory)]) == 0
    assert capsys.readouterr().out == f"{directory} is good: 1 service of your own\n"


def test_the_verb_prints_each_problem_and_fails(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = problems(directory, strata="x = 1", a="y = 2")
    assert verbs.run(["config", "check", str(directory)]) == 1
    assert capsys.readouterr().out.splitlines() == told


def test_the_verb_has_the_same_for_programs(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = problems(directory, a="y = 2", wiki=TRUE)
    assert verbs.run(["config", "check", "--json", str(directory)]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "ok": False,
        "directory": str(directory),
        "services": ["wiki"],
        "problems": told,
    }

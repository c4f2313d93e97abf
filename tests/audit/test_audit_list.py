# SPDX-License-Identifier: MIT
"""The list of attempts in docs/security.md: each is named once, says who and what, and has a test that makes it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TRIED = tomllib.loads((REPOSITORY / "docs/attempts.toml").read_text(encoding="utf-8"))
PAGE = (REPOSITORY / "docs/security.md").read_text(encoding="utf-8")


def _tests() -> dict[str, Path]:
    return {
        name: file
        for file in REPOSITORY.glob("tests/**/test_*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    }


def test_every_attempt_and_every_incident_has_a_test_that_exists() -> None:
    there = _tests()
    for row in (*TRIED["attempt"], *TRIED["incident"]):
        assert row["tests"], row
        assert set(row["tests"]) <= there.keys(), row["what"]


def test_attempts_have_names_of_their_own() -> None:
    names = [row["id"] for row in TRIED["attempt"]]
    assert len(names) == len(set(names)) > 60


def test_every_test_of_the_audit_is_in_the_list() -> None:
    """One that stands nowhere would be looked for by nobody."""
    named = {test for row in (*TRIED["attempt"], *TRIED["incident"]) for test in row["tests"]}
    ours = {name for name, file in _tests().items() if file.parent.name == "audit"}
    about_the_list = {
        name for name, file in _tests().items() if file.name in ("test_audit_list.py", "test_audit_exposure.py")
    }
    assert ours - about_the_list <= named


def test_the_page_holds_every_attempt() -> None:
    for row in TRIED["attempt"]:
        assert f"| {row['id']} |" in PAGE


def test_the_published_complaints_are_all_there() -> None:
    """Twenty, and four incidents."""
    numbers = [int(found[1]) for row in TRIED["incident"] if (found := re.match(r"(\d+)\. ", row["what"]))]
    assert numbers == list(range(1, 21))
    assert len(TRIED["incident"]) >= 24

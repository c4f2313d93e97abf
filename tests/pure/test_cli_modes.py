# SPDX-License-Identifier: MIT
"""Which of the three places to run: a pure function of facts about the machine."""

from __future__ import annotations

import pytest

from strata import programs
from strata.cli import modes
from strata.cli.modes import Facts, choose
from strata.errors import Unavailable

NOTHING = Facts(root=False, booted=False, user_manager=False, installed=True)


@pytest.mark.parametrize(
    ("facts", "mode"),
    [
        (NOTHING._replace(root=True, booted=True), "system"),
        (NOTHING._replace(root=True, booted=True, user_manager=True), "system"),
        (NOTHING._replace(root=True), "embedded"),
        (NOTHING._replace(root=True, user_manager=True), "embedded"),
        (NOTHING._replace(user_manager=True), "user"),
        (NOTHING._replace(user_manager=True, booted=True), "user"),
    ],
)
def test_the_machine_decides(facts: Facts, mode: str) -> None:
    choice = choose(facts)
    assert choice.mode == mode
    assert choice.why


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        (NOTHING, "enable-linger"),
        (NOTHING._replace(booted=True), "or do the same as root"),
        (NOTHING._replace(root=True, installed=False), programs.install("systemd")),
    ],
)
def test_where_nothing_is_possible_the_error_says_what_to_do(facts: Facts, says: str) -> None:
    with pytest.raises(Unavailable, match="cannot run here") as caught:
        choose(facts)
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("facts", "wanted", "possible"),
    [
        (NOTHING._replace(root=True, booted=True), "embedded", True),
        (NOTHING._replace(root=True, booted=True), "user", False),
        (NOTHING._replace(root=True, user_manager=True), "user", True),
        (NOTHING._replace(root=True), "system", False),
        (NOTHING._replace(user_manager=True), "system", False),
        (NOTHING._replace(user_manager=True), "embedded", False),
    ],
)
def test_a_wish_is_followed_or_refused_never_changed(facts: Facts, wanted: modes.Mode, possible: bool) -> None:
    if possible:
        assert choose(facts, wanted).mode == wanted
    else:
        with pytest.raises(Unavailable, match=f"cannot run in {wanted} mode: .*(;|use)"):
            choose(facts, wanted)


@pytest.mark.parametrize(("text", "number"), [("252.39-1~deb12u2", 252), ("257", 257), ("v256-rc1", 256), ("", 0)])
def test_the_number_of_a_version(text: str, number: int) -> None:
    assert modes.version_number(text) == number


def test_the_journal_of_a_user_manager_is_asked_for() -> None:
    assert modes.journalctl(modes.Manager("user", ""), "-n1") == ["journalctl", "--user", "-n1"]
    assert modes.journalctl(modes.Manager("system", ""), "-n1") == ["journalctl", "-n1"]

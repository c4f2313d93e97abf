# SPDX-License-Identifier: MIT
"""Unit names: systemd's escaping, and the names of Strata's own units."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.errors import InvalidArgument
from strata.units import names

SAMPLES = [
    "",
    "a",
    "a-b",
    "a/b/c",
    "/",
    ".hidden",
    "a.b",
    "ä",
    "☃ snow",
    "\\",
    "a\\x2d",
    ":_",
    "x y\tz",
    "%",
    "~@!",
    "-",
]


@pytest.mark.parametrize("text", [sample for sample in SAMPLES if sample])
def test_escape_is_that_of_systemd_escape(text: str) -> None:
    answer = subprocess.run(["systemd-escape", "--", text], capture_output=True, text=True, check=True)
    assert names.escape(text) == answer.stdout.removesuffix("\n")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_unescape_undoes_escape(text: str) -> None:
    assert names.unescape(names.escape(text)) == text


@given(st.binary())
def test_bytes_that_are_no_utf8_survive_too(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    assert names.unescape(names.escape(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_escaped_text_has_only_what_a_unit_name_may_have(text: str) -> None:
    assert set(names.escape(text)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\-")


@pytest.mark.parametrize("text", ["\\", "\\x", "\\xg0", "a\\n", "\\x2"])
def test_a_backslash_that_starts_no_escape_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot unescape"):
        names.unescape(text)


def test_core_and_users_units_have_names_of_their_own() -> None:
    assert names.core_unit("fs", "socket") == "strata-fs.socket"
    assert names.service_unit("fs", True, "service") == "strata-fs.service"
    assert names.service_unit("my-app", False, "service") == "strata-svc-my-app.service"


@given(st.text())
def test_a_name_is_either_refused_or_found_again_in_its_unit(name: str) -> None:
    try:
        unit = names.service_unit(name, False, "service")
    except InvalidArgument:
        return
    assert names.service_of(unit) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a/b", "a b", "a\n", "a\\x2d", "ä", "a" * 65, "٣"])
def test_a_name_that_a_unit_could_not_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="service name"):
        names.check_name(name)


@pytest.mark.parametrize(
    "unit", ["strata.slice", "ssh.service", "strata-svc-.service", "strata-other.service", "strata-fs.timer"]
)
def test_units_that_are_no_service_of_strata_belong_to_none(unit: str) -> None:
    assert names.service_of(unit) is None


def test_a_user_service_that_is_called_like_a_core_one_is_not_taken_for_it() -> None:
    assert names.service_of("strata-svc-fs.service") is None
    assert names.service_of("strata-fs.service") == "fs"

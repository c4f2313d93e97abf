# SPDX-License-Identifier: MIT
"""Reading unit text and words as systemd.syntax(7) says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refused import refusal

from strata.errors import InvalidArgument
from strata.units import text

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def pairs(unit: str) -> list[tuple[str, str]]:
    return [(found.name, found.value) for found in text.parse(unit)]


def test_assignments_come_in_order_with_their_section_and_line() -> None:
    found = text.parse("[Unit]\nA=1\n\n[Service]\nB = two words \nA=3\n")
    assert [tuple(one) for one in found] == [
        ("Unit", "A", "1", 2),
        ("Service", "B", "two words", 5),
        ("Service", "A", "3", 6),
    ]


def test_comments_are_dropped_also_inside_a_continued_line() -> None:
    assert pairs("# one\n[S]\nA=a \\\n; two\n  # three\n  b\nC=d # no comment\n") == [
        ("A", "a  b"),
        ("C", "d # no comment"),
    ]


def test_an_escaped_backslash_does_not_continue_a_line() -> None:
    assert pairs("[S]\nA=a\\\\\nB=b\n") == [("A", "a\\\\"), ("B", "b")]


def test_an_empty_assignment_is_kept_for_it_resets() -> None:
    assert pairs("[S]\nA=\n") == [("A", "")]


@pytest.mark.parametrize(
    "unit", ["A=1\n", "[S]\nno equals\n", "[S\nA=1\n", "[]\nA=1\n", "[S]\n=1\n", "[S]\nA=\0\n", "[S]\nA=1\\"]
)
def test_what_is_no_assignment_is_refused_with_its_line(unit: str) -> None:
    with pytest.raises(InvalidArgument, match=r"line [12] of a unit"):
        text.parse(unit)


@given(st.text())
def test_any_text_is_read_or_refused(unit: str) -> None:
    assert "line" in (refusal(text.parse, unit) or "line")


@given(st.lists(WORDS))
def test_quoted_words_are_read_back(given_words: list[str]) -> None:
    line = " ".join(map(text.quote, given_words))
    assert text.words(line) == given_words
    assert "\n" not in line


@given(st.lists(st.text(st.characters(exclude_categories=["C"])), min_size=1))
def test_printable_words_are_read_back_where_only_quotes_count(given_words: list[str]) -> None:
    assert text.words(" ".join(map(text.quote, given_words)), escapes=False) == given_words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a b", ["a", "b"]),
        (" 'a b'  \"c d\" ", ["a b", "c d"]),
        ("a'b c'd", ["ab cd"]),
        ('""', [""]),
        (r"\x41\102\u00e4\U0001F600\s", ["ABä😀 "]),
        (r"\n\t\\\"\'", ["\n\t\\\"'"]),
        (r"'\''", ["'"]),
    ],
)
def test_words_are_split_as_systemd_splits_them(value: str, expected: list[str]) -> None:
    assert text.words(value) == expected


@pytest.mark.parametrize("value", ["'a", 'a "b', "a\\", r"\q", r"\x4", r"\ud800", r"\x00", r"\xff", r"\U00110000"])
def test_words_that_cannot_be_read_are_refused(value: str) -> None:
    with pytest.raises(InvalidArgument, match="cannot read"):
        text.words(value)


def test_fields_keep_empty_ones_and_escaped_separators() -> None:
    assert text.fields(r"a::b\:c:") == ["a", "", "b:c", ""]


def test_first_word_leaves_the_rest_untouched() -> None:
    assert text.first_word("'a b'  \"c\" d") == ("a b", '"c" d')

# SPDX-License-Identifier: MIT
"""Time spans, sizes, shares, modes and booleans as systemd reads them."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refused import refusal

from strata import values
from strata.errors import InvalidArgument

SPANS = ["5", "5s", "1min 30s", "500ms", "2h", "1d 12h", "1w", "1M", "1y", "0.5s", "1.5h", "7us", "2min200ms", "3 sec"]


@pytest.mark.parametrize("text", SPANS)
def test_a_time_span_means_what_systemd_says_it_means(text: str) -> None:
    answer = subprocess.run(["systemd-analyze", "timespan", text], capture_output=True, text=True, check=True)
    found = re.search(r"[μu]s: ([0-9]+)", answer.stdout)
    assert found
    assert values.microseconds(text) == int(found[1])


@pytest.mark.parametrize("text", ["", " ", "s", "5 parsecs", "-5s", "1..2s", "5s,", "٣s", "infinity!", "9" * 30])
def test_what_is_no_time_span_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="time span"):
        values.microseconds(text)


def test_infinity_is_the_largest_number() -> None:
    assert values.microseconds("infinity") == values.size("infinity") == 2**64 - 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("4096", 4096), ("512M", 512 << 20), ("1.5G", 3 << 29), ("1T", 1 << 40), ("10K", 10240)],
)
def test_a_size_counts_in_powers_of_1024(text: str, expected: int) -> None:
    assert values.size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1 M B", "20E", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="size"):
        values.size(text)


def test_percentages_have_two_decimals() -> None:
    assert [values.permyriad(text) for text in ("0%", "12.5%", "99.99%", "100%")] == [0, 1250, 9999, 10000]


@pytest.mark.parametrize("text", ["50", "100.01%", "1.234%", "-1%", "%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="percentage"):
        values.permyriad(text)


def test_booleans_are_systemds() -> None:
    assert [values.boolean(text) for text in ("yes", "On", "1", "T")] == [True] * 4
    assert [values.boolean(text) for text in ("no", "off", "0", "F")] == [False] * 4


@given(st.text())
def test_any_text_is_read_or_refused_by_every_reader(text: str) -> None:
    for read in (values.microseconds, values.nanoseconds, values.size, values.permyriad, values.boolean, values.mode):
        assert (refusal(read, text) or "cannot read").startswith("cannot read")


@given(st.text("0123456789abcdefxob-+_ "))
def test_numbers_are_read_as_strtol_does_or_refused(text: str) -> None:
    message = refusal(values.signed32, text)
    assert "from -2147483648 to" in message or -(2**31) <= values.signed32(text) < 2**31

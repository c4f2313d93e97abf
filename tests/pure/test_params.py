# SPDX-License-Identifier: MIT
"""Parameters at the door: each type with what it takes, what it refuses, and in which words (spec 1.7)."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strata.errors import InvalidArgument
from strata.sockets import params


class Sample(msgspec.Struct, frozen=True):
    path: Annotated[str, msgspec.Meta(description="required text")]
    note: str = "none"
    size: int = 4096
    ratio: float = 0.5
    deep: bool = False
    actions: tuple[str, ...] = ()
    limit: Annotated[int | None, msgspec.Meta(description="optional number")] = None
    extra: Any = None


class Strict(msgspec.Struct, frozen=True):
    number: int
    flag: bool
    names: tuple[str, ...]
    anything: Any


TAKEN = [
    ("note", "", ""),
    ("note", "\0é😀", "\0é😀"),
    ("size", 5, 5),
    ("size", 2.9, 2),
    ("size", -2.9, -2),
    ("size", 2**63 - 1, 2**63 - 1),
    ("size", -(2**63), -(2**63)),
    ("size", None, 4096),
    ("ratio", 1, 1.0),
    ("ratio", 0.25, 0.25),
    ("deep", True, True),
    ("actions", [], ()),
    ("actions", ["a", "b"], ("a", "b")),
    ("limit", 7, 7),
    ("limit", None, None),
    ("extra", {"a": [1]}, {"a": [1]}),
]


@pytest.mark.parametrize(("name", "given", "taken"), TAKEN)
def test_an_optional_parameter_is_taken(name: str, given: object, taken: object) -> None:
    assert getattr(params.read(Sample, {"path": "/x", name: given}), name) == taken


REFUSED = [
    ("note", 5, "note must be a string"),
    ("size", "5", "size must be a number"),
    ("size", True, "size must be a number"),
    ("size", 2**63, "size must be a number of at most 64 bits"),
    ("size", 10**400, "size must be a number of at most 64 bits"),
    ("size", 1e300, "size must be a number of at most 64 bits"),
    ("size", float("inf"), "size must be a number"),
    ("size", float("nan"), "size must be a number"),
    ("ratio", "x", "ratio must be a number"),
    ("ratio", False, "ratio must be a number"),
    ("ratio", 10**400, "ratio must be a number"),
    ("ratio", float("nan"), "ratio must be a number"),
    ("deep", 1, "deep must be true or false"),
    ("deep", "true", "deep must be true or false"),
    ("actions", "read", "actions must be a list of strings"),
    ("actions", ["read", 5], "actions must be a list of strings"),
    ("actions", {"read": 1}, "actions must be a list of strings"),
    ("limit", [], "limit must be a number"),
]


@pytest.mark.parametrize(("name", "given", "says"), REFUSED)
def test_an_optional_parameter_of_the_wrong_type_is_refused_by_name(name: str, given: object, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says) as caught:
        params.read(Sample, {"path": "/x", name: given})
    assert caught.value.details["param"] == name


@pytest.mark.parametrize("raw", [None, {}, {"path": None}, {"path": ""}, {"path": 5}, {"path": ["/x"]}, {"PATH": "/x"}])
def test_a_required_text_that_is_absent_empty_or_of_another_type_is_missing(raw: dict[str, Any] | None) -> None:
    with pytest.raises(InvalidArgument, match=r"^missing path param$"):
        params.read(Sample, raw)


GOOD = {"number": 1, "flag": True, "names": ["a"], "anything": 0}


@pytest.mark.parametrize("name", GOOD)
def test_each_required_parameter_is_missed_by_name(name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^missing {name} param$"):
        params.read(Strict, {key: value for key, value in GOOD.items() if key != name})


def test_the_first_parameter_at_fault_is_named_in_the_order_of_the_declaration() -> None:
    with pytest.raises(InvalidArgument, match="missing number param"):
        params.read(Strict, {"anything": 1})


def test_unknown_parameters_are_ignored() -> None:
    assert params.read(Sample, {"path": "/x", "mode": "r"}) == Sample("/x")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(list(Sample.__struct_fields__)), anything))
def test_whatever_comes_the_answer_is_a_typed_value_or_invalid_argument(raw: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidArgument):
        value = params.read(Sample, raw)
        # What was read is what the declaration says: msgspec checks it strictly.
        assert msgspec.convert(msgspec.to_builtins(value), Sample) == value

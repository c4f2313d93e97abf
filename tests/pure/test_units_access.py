# SPDX-License-Identifier: MIT
"""What a sealed service needs in order to reach code that lies in closed directories."""

from __future__ import annotations

import pytest

from strata.errors import InvalidArgument
from strata.units.access import Access, access


def modes(closed: dict[str, int]):  # type: ignore[no-untyped-def]
    return lambda path: closed.get(path, 0o755)


def test_open_directories_need_nothing() -> None:
    assert access(("/usr", "/opt/strata"), modes({})) == Access(False, (), ())


def test_code_in_a_home_is_bound_into_an_empty_one() -> None:
    assert access(("/home/ann/venv",), modes({"/home/ann": 0o700})) == Access(True, (), ("/home/ann/venv",))


def test_a_closed_home_is_covered_too_because_its_empty_stand_in_may_be_as_closed() -> None:
    assert access(("/root/venv",), modes({"/root": 0o700})) == Access(True, ("/root",), ("/root/venv",))


def test_code_in_tmp_is_bound_because_the_service_has_another_tmp() -> None:
    assert access(("/tmp/venv",), modes({})) == Access(False, (), ("/tmp/venv",))


def test_the_topmost_closed_directory_is_covered() -> None:
    found = access(("/data/build/venv", "/data/build/strata"), modes({"/data": 0o750, "/data/build": 0o700}))
    assert found == Access(False, ("/data",), ("/data/build/venv", "/data/build/strata"))


def test_a_directory_that_is_not_there_closes_nothing() -> None:
    assert access(("/gone/x",), lambda path: None) == Access(False, (), ())


def test_a_path_that_a_unit_could_not_name_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="colons"):
        access(("/tmp/a:b",), modes({}))

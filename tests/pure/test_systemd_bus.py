# SPDX-License-Identifier: MIT
"""A unit that changes while its properties are read one after another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from strata.systemd import bus
from strata.systemd.bus import Bus

OLD = {"LoadState": "loaded", "ActiveState": "activating", "SubState": "auto-restart", "InvocationID": b"\x01" * 16}
NEW = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "InvocationID": b"\x02" * 16}


class Played(Bus):
    """A connection to nobody. `runs` says which of the two each question finds."""

    def __init__(self, runs: Iterator[int]) -> None:
        self.runs, self.asked = runs, 0

    def _loaded(self, name: str) -> bytes:
        return b"/unit"

    def _job_now(self, name: str) -> str:
        return ""

    def _get(self, path: bytes, interface: str, prop: str, signature: str) -> Any:
        self.asked += 1
        run = next(self.runs)
        if prop == "StateChangeTimestampMonotonic":
            return run
        found = (OLD if run % 2 == 0 else NEW).get(prop)
        text: Any = found.encode() if isinstance(found, str) else found
        return text if text is not None else {"s": b"", "aay": [], "ay": b""}.get(signature, 0)


@pytest.mark.parametrize("at", range(1, 17))
def test_what_is_told_of_a_unit_is_all_of_one_state(at: int) -> None:
    """An end that was over by then was told of the new run, as one without a reason."""
    played = Played(itertools.chain(itertools.repeat(0, at), itertools.repeat(1)))
    found = played.status("strata-svc-x.service")
    assert (found.sub_state, found.invocation_id) == ("running", "02" * 16)


def test_a_unit_that_never_stands_still_is_told_all_the_same() -> None:
    played = Played(itertools.count())
    assert played.status("strata-svc-x.service").load_state == "loaded"
    assert played.asked < 20 * bus._LOOKS


def test_of_a_scope_its_state_alone_is_asked() -> None:
    """There may be hundreds."""
    played = Played(itertools.repeat(1))
    played.status("strata-sandbox-a-b.scope")
    assert played.asked == 3

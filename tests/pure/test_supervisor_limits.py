# SPDX-License-Identifier: MIT
"""Bounds of what the supervisor is asked for."""

from __future__ import annotations

import pytest

from strata.errors import InvalidArgument
from strata.supervisor import handlers
from strata.supervisor.handlers import MAX_DRAIN_MS, StopParams
from strata.supervisor.operations import DRAIN_SECONDS


def test_a_drain_beyond_an_hour_is_refused() -> None:
    assert handlers._drain(StopParams("x", MAX_DRAIN_MS), 10.0) == 3600
    with pytest.raises(InvalidArgument, match="drain_ms must be at most"):
        handlers._drain(StopParams("x", MAX_DRAIN_MS + 1), 10.0)


@pytest.mark.parametrize("given", [0, -5])
def test_no_drain_means_two_seconds(given: int) -> None:
    assert handlers._drain(StopParams("x", given), 10.0) == DRAIN_SECONDS == 2


def test_no_drain_is_at_most_what_systemd_gives_the_service() -> None:
    assert handlers._drain(StopParams("x", 0), 0.5) == 0.5

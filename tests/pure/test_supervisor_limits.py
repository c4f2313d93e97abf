# SPDX-License-Identifier: MIT
"""Bounds of what the supervisor is asked for."""

from __future__ import annotations

import pytest

from strata.errors import InvalidArgument
from strata.supervisor import handlers
from strata.supervisor.handlers import MAX_DRAIN_MS, StopParams
from strata.supervisor.operations import DRAIN_SECONDS


def test_a_drain_beyond_an_hour_is_refused() -> None:
    assert handlers._drain(StopParams("x", MAX_DRAIN_MS)) == 3600
    with pytest.raises(InvalidArgument, match="drain_ms must be at most"):
        handlers._drain(StopParams("x", MAX_DRAIN_MS + 1))


@pytest.mark.parametrize("given", [0, -5])
def test_no_drain_means_two_seconds(given: int) -> None:
    assert handlers._drain(StopParams("x", given)) == DRAIN_SECONDS == 2

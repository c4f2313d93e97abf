# SPDX-License-Identifier: MIT
"""Owners' slices when systemd does not answer: one that could not be stopped does not stay."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from strata.config import OwnerSettings
from strata.errors import Conflict, Unavailable
from strata.sandbox import slices
from strata.sandbox.slices import Slices
from strata.systemd.manager import Manager
from strata.systemd.state import Job

SLICE = "strata-sandbox-ann.slice"
DONE = Job("/job", SLICE, "done")


class Systemd:
    """Knows which slices are there; cannot be reached as often as `away` says."""

    def __init__(self, away: int) -> None:
        self.away, self.there, self.asked = away, set[str](), asyncio.Event()

    async def run_transient(self, units: list[tuple[str, Any]]) -> Job:
        if units[0][0] in self.there:
            raise Conflict("it is there")
        self.there.add(units[0][0])
        return DONE

    async def stop(self, unit: str) -> Job:
        if self.away:
            self.away -= 1
            self.asked.set()
            raise Unavailable("the connection to it was lost")
        self.there.discard(unit)
        return DONE


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "FIRST_SECONDS", 0.01)


def test_a_slice_that_could_not_be_stopped_is_tried_again() -> None:
    async def go() -> None:
        systemd = Systemd(away=3)
        owners = Slices(cast(Manager, systemd), OwnerSettings(), 252)
        await owners.enter("ann")
        await owners.leave("ann")
        assert systemd.there == {SLICE}
        async with asyncio.timeout(10):
            while systemd.there or SLICE in owners:
                await asyncio.sleep(0.01)

    asyncio.run(go())


def test_who_comes_meanwhile_has_a_slice_made_for_him_which_nobody_stops() -> None:
    async def go() -> None:
        systemd = Systemd(away=1)
        owners = Slices(cast(Manager, systemd), OwnerSettings(), 252)
        await owners.enter("ann")
        await owners.leave("ann")
        await owners.enter("ann")
        await asyncio.sleep(0.05)  # longer than until the next attempt
        assert systemd.there == {SLICE}
        await owners.leave("ann")
        assert systemd.there == set()
        owners.close()

    asyncio.run(go())


def test_who_leaves_before_his_slice_is_begun_leaves_none() -> None:
    async def go() -> None:
        systemd = Systemd(away=0)
        owners = Slices(cast(Manager, systemd), OwnerSettings(), 252)
        there = owners.enter("ann")
        await owners.leave("ann")
        await there
        assert systemd.there == set()
        await owners.enter("ann")
        assert systemd.there == {SLICE}
        owners.close()

    asyncio.run(go())

# SPDX-License-Identifier: MIT
"""What the registry knows: which service answers where, and until when."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from strata.errors import NotFound, ResourceExhausted
from strata.registry.store import Store

MAX_ENTRIES = 4096


class Entry(msgspec.Struct, frozen=True):
    """One service. `deadline` is CLOCK_MONOTONIC seconds; the supervisor ends a lease tied to `unit`. It is kept over
    restarts, so there may be fields that another version has added."""

    service: str
    endpoint: str
    api_v: int
    owner: int  # uid of the peer that registered it
    unit: str | None = None
    deadline: float | None = None


class Table:
    """Entries by service name, at most one each. Nothing changes in memory that the store did not take first."""

    def __init__(self, store: Store[Entry], clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._take({entry.service: entry for entry in store.load()})

    def get(self, service: str) -> Entry:
        """The live entry of a service. Raises NotFound."""
        entry = self._entries.get(service)
        if entry is None or (entry.deadline is not None and entry.deadline <= self._clock()):
            raise NotFound(f"service not registered: {service}", service=service)
        return entry

    def answer(self, service: str) -> dict[str, Any]:
        """What registry.resolve answers, made beforehand where no lease runs. Raises NotFound."""
        return self._fixed.get(service) or self.shown(self.get(service))

    def shown(self, entry: Entry) -> dict[str, Any]:
        """The entry without its name; `unit` and the remaining `lease_seconds` only where there are such."""
        if entry.deadline is None:
            return self._fixed[entry.service]
        return {**_answer(entry), "lease_seconds": round(max(0.0, entry.deadline - self._clock()), 3)}

    def live(self) -> list[Entry]:
        """Every entry whose lease has not run out, by name."""
        now = self._clock()
        alive = (entry for entry in self._entries.values() if entry.deadline is None or entry.deadline > now)
        return sorted(alive, key=lambda entry: entry.service)

    def put(self, entry: Entry) -> None:
        """Add or replace; the last write wins. Raises ResourceExhausted when the table or its disk is full."""
        kept = {**self._entries, entry.service: entry}
        if len(kept) > MAX_ENTRIES:
            raise ResourceExhausted(f"cannot register {entry.service}: the registry holds {MAX_ENTRIES} services")
        self._keep(kept)

    def remove(self, service: str) -> Entry:
        """Forget one service. Raises NotFound."""
        entry = self.get(service)
        self._keep({name: known for name, known in self._entries.items() if name != service})
        return entry

    def remove_unit(self, unit: str) -> list[Entry]:
        """Forget all that was registered with a lease on `unit`. Raises NotFound when nothing was."""
        gone = [entry for entry in self.live() if entry.unit == unit]
        if not gone:
            raise NotFound(f"no service is registered for unit {unit}", unit=unit)
        self._keep({name: known for name, known in self._entries.items() if known.unit != unit})
        return gone

    def expire(self) -> list[Entry]:
        """Forget every entry whose lease has run out; returns them."""
        alive = {entry.service: entry for entry in self.live()}
        gone = [entry for name, entry in self._entries.items() if name not in alive]
        if gone:
            self._keep(alive)
        return gone

    def deadline(self, seconds: float | None) -> float | None:
        """The moment `seconds` from now, as an Entry wants it."""
        return None if seconds is None else self._clock() + seconds

    def _keep(self, entries: dict[str, Entry]) -> None:
        self._store.save(tuple(entries.values()))
        self._take(entries)

    def _take(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self._fixed = {name: _answer(entry) for name, entry in entries.items() if entry.deadline is None}


def _answer(entry: Entry) -> dict[str, Any]:
    answer: dict[str, Any] = {"endpoint": entry.endpoint, "api_v": entry.api_v}
    return answer if entry.unit is None else {**answer, "unit": entry.unit}
